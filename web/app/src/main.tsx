// The dashboard: it starts here.

import { render } from "preact";
import "./main.css";
import { messageOf } from "./api/http";
import { start } from "./data/cluster";
import { App } from "./ui/app";
import { startKeys } from "./ui/keys";
import { startTheme } from "./ui/settings";

startTheme();
startKeys();
const root = document.getElementById("app")!;

start().then(
  () => render(<App />, root),
  (err: unknown) => render(
    <div class="start" role="alert">
      <h1>Skiff</h1>
      <p>{messageOf(err)}</p>
    </div>,
    root,
  ),
);
