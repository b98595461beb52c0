// The frame around all screens: navigation, header, dialogs.

import type { ComponentChildren, JSX } from "preact";
import { lazy, Suspense } from "preact/compat";
import { useEffect, useRef, useState } from "preact/hooks";
import { resources, session } from "../data/cluster";
import { sections, title, customResources } from "../kube/sections";
import { EventsScreen } from "../screens/events";
import { ForwardsScreen } from "../screens/forwards";
import { ListScreen } from "../screens/list";
import { NodesScreen } from "../screens/nodes";
import { ObjectScreen } from "../screens/object";
import { Overview } from "../screens/overview";
import { RightsScreen } from "../screens/rights";
import { ResourcesScreen } from "../screens/resources";
import { WorkloadsScreen } from "../screens/workloads";
import { ActionDialog } from "./action";
import { Banner } from "./banner";
import { Boundary } from "./boundary";
import { Icon, Note } from "./basics";
import { ClusterButton } from "./clusters";
import { Help, helpOpen } from "./help";
import { useKeys } from "./keys";
import { NamespaceSelect } from "./namespaces";
import { Palette, paletteOpen } from "./palette";
import { go, href, listHref, route } from "./router";
import { listKeys, screens } from "./screens";
import { dark, nextTheme, theme } from "./settings";
import { Toasts } from "./toast";

const MapScreen = lazy(() => import("../screens/map"));
const LogsScreen = lazy(() => import("../screens/logs"));
const CreateScreen = lazy(() => import("../editor/create"));

function Screen(): JSX.Element {
  const [name, ...rest] = route.value.path;
  switch (name) {
    case "overview": return <Overview />;
    case "nodes": return <NodesScreen />;
    case "workloads": return <WorkloadsScreen />;
    case "events": return <EventsScreen />;
    case "forwards": return <ForwardsScreen />;
    case "resources": return <ResourcesScreen />;
    case "rights": return <RightsScreen />;
    case "map": return <MapScreen />;
    case "logs": return <LogsScreen />;
    case "create": return <CreateScreen />;
    case "list": return rest[0] === "events" ? <EventsScreen /> : rest[0] === "nodes" ? <NodesScreen /> : <ListScreen id={rest[0] ?? ""} />;
    case "object":
      if (rest.length === 3) return <ObjectScreen to={{ resource: rest[0] ?? "", namespace: rest[1] === "_" ? "" : rest[1] ?? "", name: rest[2] ?? "" }} />;
  }
  return <Note>Page not found. <a href={href("overview")}>Overview</a></Note>;
}

export function App(): JSX.Element {
  const [menu, setMenu] = useState(false);
  const main = useRef<HTMLElement>(null);
  useKeys([
    { key: "?", label: "This list", run: () => { helpOpen.value = true; } },
    { key: "ctrl+k", label: "Search the cluster", run: () => { paletteOpen.value = true; } },
    { key: "/", label: "Search the cluster", run: () => { paletteOpen.value = true; } },
    { key: "t", label: "Light, dark or as the system", run: nextTheme },
    ...screens.map((s) => ({ key: `g ${s.key}`, label: s.title, run: () => go(href(s.path)) })),
    ...Object.entries(listKeys).map(([key, id]) => ({ key: `g ${key}`, label: title(id, resources.value.get(id)), run: () => go(listHref(id)) })),
  ], [], true);
  const path = route.value.path.join("/");
  useEffect(() => {
    setMenu(false);
    const last = route.value.path[route.value.path.length - 1] ?? "";
    document.title = `${last} · ${session.value?.cluster ?? ""} · Skiff`;
    main.current?.scrollTo(0, 0);
  }, [path]);
  return (
    <div class={menu ? "shell menu-open" : "shell"}>
      <button type="button" class="skip" onClick={() => main.current?.focus()}>Skip to the content</button>
      <header class="top">
        <button type="button" class="plain menu" aria-label="Menu" aria-expanded={menu} onClick={() => setMenu(!menu)}><Icon name="menu" /></button>
        <ClusterButton />
        <NamespaceSelect />
        <span class="spring" />
        <button type="button" class="search" onClick={() => { paletteOpen.value = true; }}><Icon name="search" /><span class="wide-text">Search</span><kbd class="wide">ctrl+k</kbd></button>
        <a class="button" href={href("create")}><Icon name="plus" /><span class="wide-text">Create</span></a>
        <button type="button" class="plain" aria-label={`Theme: ${theme.value}, ${dark.value ? "dark" : "light"}. Switch`} title={`Theme: ${theme.value}`} onClick={nextTheme}><Icon name="theme" /></button>
        <button type="button" class="plain" aria-label="Keys" onClick={() => { helpOpen.value = true; }}><Icon name="help" /></button>
      </header>
      <Sidebar />
      {menu && <div class="shade" onClick={() => setMenu(false)} />}
      <main ref={main} tabIndex={-1}>
        <Banner />
        <Boundary of={path}><Suspense fallback={<Note>Loading …</Note>}><Screen /></Suspense></Boundary>
      </main>
      <Boundary of={path}>
        <Palette />
        <Help />
        <ActionDialog />
      </Boundary>
      <Toasts />
    </div>
  );
}

function Sidebar(): JSX.Element {
  const path = route.value.path;
  const current = path[0] === "list" || path[0] === "object" ? path[1] : "";
  const link = (to: string, text: ComponentChildren, active: boolean) => (
    <li key={to}><a href={to} aria-current={active ? "page" : undefined}>{text}</a></li>
  );
  const screen = (name: string) => {
    const s = screens.find((known) => known.path === name)!;
    return link(href(name), s.title, path[0] === name || (name === "nodes" && current === "nodes"));
  };
  const custom = customResources(resources.value);
  return (
    <nav class="side" aria-label="Main">
      <ul>{["overview", "map", "nodes", "events", "logs"].map(screen)}</ul>
      {sections.map((section) => (
        <div key={section.title}>
          <h2>{section.title}</h2>
          <ul>
            {section.title === "Workloads" && screen("workloads")}
            {section.resources.filter((id) => resources.value.has(id)).map((id) => link(listHref(id), title(id, resources.value.get(id)), current === id))}
            {section.title === "Network" && screen("forwards")}
            {section.title === "Access" && screen("rights")}
          </ul>
        </div>
      ))}
      <h2>Other</h2>
      <ul>
        {resources.value.has("namespaces") && link(listHref("namespaces"), "Namespaces", current === "namespaces")}
        {resources.value.has("customresourcedefinitions.apiextensions.k8s.io") && link(listHref("customresourcedefinitions.apiextensions.k8s.io"), "Definitions", current === "customresourcedefinitions.apiextensions.k8s.io")}
        {custom.slice(0, 40).map(([id, r]) => link(listHref(id), title(id, r), current === id))}
        {screen("resources")}
      </ul>
    </nav>
  );
}
