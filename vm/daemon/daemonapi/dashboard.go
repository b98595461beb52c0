package daemonapi

import "time"

// PathDashboard takes a POST of a DashboardRequest and returns a DashboardLink. The
// dashboard is served as long as a user is logged in. It returns 422 if the request is
// invalid and 404 if this program has no dashboard.
const PathDashboard = "/v1/dashboard"

// Paths of the cluster's records.
const (
	// PathMetrics: the Prometheus HTTP API is below it, as in PathMetrics +
	// "/api/v1/query".
	PathMetrics = "/v1/metrics"
	// PathLogs: the query API of VictoriaLogs is below it, as in PathLogs +
	// "/select/logsql/query".
	PathLogs = "/v1/logs"
	// PathLogsTail is the part of PathLogs that waits for logs that are yet to be written. A
	// request is a use of the cluster.
	PathLogsTail = PathLogs + "/select/logsql/tail"
)

// DashboardRequest asks for a link to the dashboard in the browser.
type DashboardRequest struct {
	// Kubeconfig holds the API server and the credentials as which the dashboard acts.
	// It refers to no files and runs no programs. It is kept in memory only.
	Kubeconfig []byte `json:"kubeconfig"`
	// Port of the dashboard, 0 for any free one.
	Port int `json:"port,omitempty"`
	// Page is the path of an HTML file, which must not exist, to be written for the
	// browser: it leads to the link, and is removed when the link stops working.
	Page string `json:"page,omitempty"`
}

// DashboardLink is a link to the dashboard, for one use.
type DashboardLink struct {
	URL string `json:"url"`
	// User and Groups as which the dashboard acts.
	User   string   `json:"user"`
	Groups []string `json:"groups,omitempty"`
	// Expires is when the link stops working.
	Expires time.Time `json:"expires"`
}
