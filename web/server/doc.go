// Package server serves the dashboard of one cluster to browsers on this host only: it
// listens on the loopback addresses while somebody is logged in, and everything that it
// does in the cluster happens as the user who logged in.
//
// # Logging in
//
// [Server.Open] returns a link that works once, within a minute. It sets a cookie that
// names a session in this process's memory. A session ends when it is not used for an
// hour, after twelve hours, or with the daemon; the last one closes the port.
//
// # What a browser sends
//
// A request must name this server in its Host header, which prevents DNS rebinding, and
// must come from this server's own pages according to Sec-Fetch-Site and Origin. Requests
// that change something also carry the session's token in X-Skiff-CSRF. Headers with
// which a client could impersonate another user never reach the API server, and the
// content of objects never reaches the browser as something that it would run.
//
// # API
//
//	GET    /login?token=T               sets the cookie, redirects to /
//	GET    /api/session                 cluster, user, groups, csrf, version, expires
//	DELETE /api/session                 ends the session
//	GET    /api/clusters                name, state, nodes, current of each cluster
//	POST   /api/clusters/NAME/open      a link to another cluster's dashboard
//	GET    /api/status                  daemonapi.ClusterStatus
//	GET    /api/services                daemonapi.Services
//	ANY    /api/kubernetes/*            the API server
//	GET    /api/scope                   what the user may read of stored logs and metrics
//	GET    /api/metrics/api/v1/*        the Prometheus API of the cluster's store
//	GET    /api/logs/select/logsql/*    the query API of the cluster's log store
//	POST   /api/actions/ACTION          acts on an object, or shows what that affects
//	POST   /api/actions/merge           applies the changes of an edit to a newer version
//	GET    /api/forwards                the session's port-forwards
//	POST   /api/forwards                starts one
//	DELETE /api/forwards/ID             ends it
//
// A failure is {"error": "…", "hint": "…"} with a matching status. Failures of the API
// server are passed on unchanged.
//
// Users without rights in the whole cluster read the stored logs and metrics of the
// namespaces in which they may read the logs of pods, the events, or the pods
// themselves. The daemon applies that as a filter to everything that a query reads.
//
// A WebSocket cannot set headers. Below /api/kubernetes, the query parameter "accept"
// of a WebSocket is sent as the Accept header, so that watches can ask for tables.
//
// Each response replaces the text CSP_NONCE in the page with a nonce of its own. The
// browser applies style elements with that nonce, and loads scripts and style sheets
// only from below /assets/.
package server
