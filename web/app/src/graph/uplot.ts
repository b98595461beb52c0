// uPlot, loaded when the first graph is shown.

export { default } from "uplot";
