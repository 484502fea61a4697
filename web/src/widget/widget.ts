/** The two widgets of a notebook in one module: the model says which of them it is. */

import "./widget.css";
import { explorer } from "./explorer";
import { live } from "./live";
import type { End, View } from "./model";

export default {
  render(view: View): End {
    view.el.classList.add("neuronatlas");
    return view.model.get("_kind") === "live" ? live(view) : explorer(view);
  },
};
