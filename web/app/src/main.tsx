// The dashboard: it starts here.

import { render } from "preact";
import "./main.css";
import { messageOf } from "./api/http";
import { start } from "./data/cluster";
import { watchOver } from "./data/connection";
import { App } from "./ui/app";
import { startKeys } from "./ui/keys";
import { startTheme } from "./ui/settings";

startTheme();
startKeys();
watchOver();
const root = document.getElementById("app")!;
const patience = 500; // milliseconds until the page says that it waits

function say(text: string, role: "status" | "alert"): void {
  render(
    <main class="start">
      <h1>Skiff</h1>
      <p role={role}>{text}</p>
    </main>,
    root,
  );
}

const waiting = setTimeout(() => say("Waiting for the cluster to answer …", "status"), patience);

start().finally(() => clearTimeout(waiting)).then(
  () => {
    render(null, root);
    render(<App />, root);
  },
  (err: unknown) => say(messageOf(err), "alert"),
);
