"""A program that writes checkpoints with TensorFlow itself, as TensorFlow 1 did: graph, Saver, partitioner.

python tensorflow_writing.py alexnet FOLDER CLASSES SLOTS    model.ckpt_epoch89.*, and what it answers, in answers.npz
python tensorflow_writing.py small FOLDER                    small.*, of many types and slices, and values.npz
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf

LAYERS = (
    ("conv1", 11, 4, "VALID", 64, True),
    ("conv2", 5, 1, "SAME", 192, True),
    ("conv3", 3, 1, "SAME", 384, False),
    ("conv4", 3, 1, "SAME", 384, False),
    ("conv5", 3, 1, "SAME", 256, True),
    ("fc6", 5, 1, "VALID", 4096, False),
    ("fc7", 1, 1, "VALID", 4096, False),
    ("fc8", 1, 1, "VALID", 0, False),
)
NUMBERS = "float32 float64 int32 uint8 int16 int8 int64 bool float16 bfloat16 uint16 uint32 uint64 complex64".split()


def alexnet(folder: Path, classes: int, *, slots: bool) -> None:
    """Weights of He's size, so that the logits are far from zero; biases that are all different."""
    pictures = np.load(folder / "pictures.npy")
    shown = tf.placeholder(tf.float32, (None, 224, 224, 3))
    x = shown
    seen = {}
    for number, (name, side, stride, padding, units, pooled) in enumerate(LAYERS):
        with tf.variable_scope(f"alexnet_v2/{name}"):
            shape = (side, side, int(x.shape[3]), units or classes)
            spread = (2 / (side * side * shape[2])) ** 0.5
            start = tf.truncated_normal_initializer(stddev=spread, seed=number)
            weights = tf.get_variable("weights", shape, initializer=start, use_resource=False)
            values = np.linspace(-0.1, 0.2, shape[3], dtype=np.float32)
            biases = tf.get_variable("biases", initializer=values, use_resource=False)
            x = tf.nn.conv2d(x, weights, stride, padding)
            seen[f"alexnet_v2/{name}/Conv2D"] = tf.reduce_mean(x, (1, 2))
            x = tf.nn.bias_add(x, biases)
            if units:
                x = tf.nn.relu(x)
                seen[f"alexnet_v2/{name}/Relu"] = tf.reduce_mean(x, (1, 2))
            if slots:
                for variable in (weights, biases):
                    filled = tf.fill(variable.shape, float(number))
                    tf.Variable(filled, name=f"{variable.op.name}/Momentum".split("/", 2)[2], use_resource=False)
        if pooled:
            x = tf.nn.max_pool2d(x, 3, 2, "VALID")
    if slots:
        tf.Variable(np.int32(89), name="global_step", use_resource=False)
    logits = tf.squeeze(x, (1, 2))
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, str(folder / "model.ckpt_epoch89"), write_meta_graph=False)
        answers = session.run({"logits": logits, **seen}, {shown: (pictures - 0.5) * 2})
        digests = {
            variable.op.name: hashlib.sha256(session.run(variable).tobytes()).hexdigest()
            for variable in tf.global_variables()
        }
    np.savez(folder / "answers.npz", **answers)
    (folder / "weights.json").write_text(json.dumps(digests))


def small(folder: Path) -> None:
    """Every type of number, names that share beginnings, several blocks of index, slices along two axes."""
    wanted = {}
    for number, kind in enumerate(NUMBERS):
        values = np.arange(14).reshape(7, 2) * (number + 1)
        wanted[f"types/{kind}"] = tf.Variable(
            tf.cast(tf.constant(values), kind), name=f"types/{kind}", use_resource=False
        )
    many = tf.constant(np.arange(9.0))
    for number in range(400):
        wanted[f"many/of/them/{number}"] = tf.Variable(
            many[:3] * number, name=f"many/of/them/{number}", use_resource=False
        )
    wanted["empty"] = tf.Variable(np.zeros((0, 3), np.float32), name="empty", use_resource=False)
    with tf.device("/cpu:1"):
        wanted["scalar"] = tf.Variable(-7, name="scalar", use_resource=False)
    tf.Variable("some text", name="text", use_resource=False)
    for name, shape, axis, parts in (("rows", (701, 3, 5), 0, 3), ("columns", (3, 20_000), 1, 2)):
        cut = tf.fixed_size_partitioner(parts, axis=axis)
        start = tf.random_uniform_initializer(seed=1)
        whole = tf.get_variable(f"sliced/{name}", shape, partitioner=cut, initializer=start, use_resource=False)
        wanted[f"sliced/{name}"] = tf.concat(list(whole), axis)
    with tf.Session(config=tf.ConfigProto(device_count={"CPU": 2})) as session:
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, str(folder / "small"), write_meta_graph=False)
        values = session.run(
            {name: tf.cast(each, "float32") if "bfloat16" in name else each for name, each in wanted.items()}
        )
        sharded = tf.train.Saver([wanted["scalar"], wanted["types/int8"]], sharded=True)
        sharded.save(session, str(folder / "sharded"), write_meta_graph=False)
        old = tf.train.Saver([wanted["scalar"]], write_version=tf.train.SaverDef.V1)
        old.save(session, str(folder / "old"), write_meta_graph=False)
    np.savez(folder / "values.npz", **values)


if __name__ == "__main__":
    tf.disable_v2_behavior()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if sys.argv[1] == "small":
        small(Path(sys.argv[2]))
    else:
        alexnet(Path(sys.argv[2]), int(sys.argv[3]), slots=sys.argv[4] == "yes")
