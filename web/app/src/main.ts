// The page shows the cluster's status until the front end replaces it.
import "./main.css";

async function start(): Promise<void> {
  const app = document.getElementById("app")!;
  const response = await fetch("/api/status");
  const answer = await response.json();
  app.textContent = response.ok ? `${answer.name}: ${answer.phase}` : `${answer.error} (${answer.hint})`;
}

void start();
