"""Tasks on a Ray cluster: one actor a worker, on whatever nodes there are, any of which may come and go."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field

from neuronatlas.errors import WrongInput
from neuronatlas.executors.base import Failure, Opener, Task
from neuronatlas.executors.ray_cluster import Needs, connected
from neuronatlas.executors.ray_crew import Crew
from neuronatlas.executors.ray_hiring import Terms


@dataclass(frozen=True)
class Ray:
    """Runs tasks on a Ray cluster; see `neuronatlas.executors.base.Executor`.

    ``workers``: how many at most; None is as many as the nodes have room for, also those that join later. ``address``: "auto",
    or the address of a node; None is the cluster that this process is connected to, that of the environment's RAY_ADDRESS,
    or else one that is started on this machine and stopped afterwards. ``cpus`` and ``gpus``: what a worker takes of its node,
    in parts too (two workers share a GPU with 0.5); it computes with as many threads as it has CPUs. ``environment``:
    variables that are set where workers are, such as KERAS_BACKEND. ``silence``: seconds without a sign of life after which
    a worker is given up (a task may take as long as it likes). ``patience``: seconds without any node that is large enough
    after which `NeuronAtlasError` is raised.
    """

    workers: int | None = None
    _: KW_ONLY
    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    environment: Mapping[str, str] = field(default_factory=dict)
    silence: float = 60.0
    patience: float = 600.0

    @property
    def threads_each(self) -> int:
        """One for each CPU of a worker, and at least one."""
        return max(1, int(self.cpus))

    def __post_init__(self) -> None:
        """Raise `WrongInput` for what cannot be."""
        for wrong, message in (
            (
                self.workers is not None and self.workers < 1,
                f"workers={self.workers} must be 1 or more, or None for as many as fit",
            ),
            (
                min(self.cpus, self.gpus) < 0 or self.cpus + self.gpus == 0,
                f"cpus={self.cpus}, gpus={self.gpus}: neither may be negative, nor both 0",
            ),
            (
                self.gpus > 1 and self.gpus % 1 > 0,
                f"gpus={self.gpus}: more than one GPU a worker is a whole number of them",
            ),
            (self.silence <= 0, f"silence={self.silence} must be more than 0 seconds"),
            (self.patience < 0, f"patience={self.patience} must be 0 seconds or more"),
        ):
            if wrong:
                raise WrongInput(message)

    def run(self, opener: Opener[Task], tasks: Sequence[Task]) -> Generator[tuple[Task, bytes | Failure]]:
        """See `neuronatlas.executors.base.Executor`. Raises `WrongInput` where ``opener`` or a task cannot be pickled."""
        if not tasks:
            return
        needs = Needs(self.cpus, self.gpus)
        with connected(self.address, self.workers, needs) as cluster:
            terms = Terms(self.workers, needs, self.environment, self.silence, self.patience)
            crew = Crew(terms, cluster, opener, tasks)
            try:
                while crew.left:
                    crew.turn()
                    while crew.done:
                        crew.left -= 1
                        yield crew.done.popleft()
            finally:
                crew.dismiss()
