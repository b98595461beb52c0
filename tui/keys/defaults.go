package keys

// The actions. Their values are the names in ui.yaml.
const (
	Quit           Action = "quit"
	Back           Action = "back"
	Help           Action = "help"
	Command        Action = "command"
	Filter         Action = "filter"
	PickNamespaces Action = "namespaces"
	AllNamespaces  Action = "all-namespaces"
	Redraw         Action = "redraw"
	Up             Action = "up"
	Down           Action = "down"
	PageUp         Action = "page-up"
	PageDown       Action = "page-down"
	Top            Action = "top"
	Bottom         Action = "bottom"
	Left           Action = "left"
	Right          Action = "right"
	Enter          Action = "open"
	Mark           Action = "mark"
	MarkAll        Action = "mark-all"
	MarkRange      Action = "mark-range"
	Unmark         Action = "unmark"
	SortNext       Action = "sort-next"
	SortPrev       Action = "sort-previous"
	Reverse        Action = "sort-reverse"
	SortName       Action = "sort-name"
	SortAge        Action = "sort-age"
	SortCPU        Action = "sort-cpu"
	SortMemory     Action = "sort-memory"
	Wide           Action = "wide"
	Unhealthy      Action = "faults"
	Copy           Action = "copy"
	CopyText       Action = "copy-text"
	Describe       Action = "describe"
	YAML           Action = "yaml"
	Edit           Action = "edit"
	Delete         Action = "delete"
	Kill           Action = "kill"
	Events         Action = "events"
	Owner          Action = "owner"
	ShowTree       Action = "tree"
	ShowNode       Action = "node"
	ShowLogs       Action = "logs"
	Previous       Action = "previous-logs"
	Shell          Action = "shell"
	Attach         Action = "attach"
	Forward        Action = "port-forward"
	CopyFile       Action = "copy-file"
	Scale          Action = "scale"
	Restart        Action = "restart"
	Undo           Action = "undo"
	ShowHistory    Action = "history"
	Trigger        Action = "trigger"
	Suspend        Action = "suspend"
	Cordon         Action = "cordon"
	Uncordon       Action = "uncordon"
	Drain          Action = "drain"
	Add            Action = "add"
	Remove         Action = "remove"
	Start          Action = "start"
	Stop           Action = "stop"
	Pause          Action = "pause"
	Resume         Action = "resume"
	Create         Action = "create"
	Snapshot       Action = "snapshot"
	LoadImage      Action = "load-image"
	Reveal         Action = "reveal"
	Wrap           Action = "wrap"
	Follow         Action = "follow"
	Timestamps     Action = "timestamps"
	Fields         Action = "fields"
	Clear          Action = "clear"
	Next           Action = "next-match"
	Prev           Action = "previous-match"
	Toggle         Action = "toggle"
	NodeLogs       Action = "node-logs"
	Browse         Action = "browse"
	CopyAddress    Action = "copy-address"
	SearchLogs     Action = "search-logs"
	Graphs         Action = "graphs"
	Longer         Action = "longer"
	Shorter        Action = "shorter"
)

// defaults is the built-in key map.
var defaults = []Binding{
	{Everywhere, Help, []string{"?"}, "help", false, true},
	{Everywhere, Command, []string{":"}, "command", false, true},
	{Everywhere, Filter, []string{"/"}, "filter", false, true},
	{Everywhere, Back, []string{"esc", "q"}, "clear filter, or back", false, false},
	{Everywhere, Quit, []string{"ctrl+c"}, "quit", false, false},
	{Everywhere, Redraw, []string{"ctrl+l"}, "redraw", false, false},

	{List, Up, []string{"up", "k"}, "up", false, false},
	{List, Down, []string{"down", "j"}, "down", false, false},
	{List, PageUp, []string{"pgup", "ctrl+b"}, "page up", false, false},
	{List, PageDown, []string{"pgdown", "ctrl+f"}, "page down", false, false},
	{List, Top, []string{"home", "g"}, "first", false, false},
	{List, Bottom, []string{"end", "G"}, "last", false, false},
	{List, Left, []string{"left"}, "scroll left", false, false},
	{List, Right, []string{"right"}, "scroll right", false, false},
	{List, Enter, []string{"enter"}, "open", false, true},
	{List, SortNext, []string{">"}, "sort by next column", false, false},
	{List, SortPrev, []string{"<"}, "sort by previous column", false, false},
	{List, Reverse, []string{"~"}, "reverse sort order", false, false},
	{List, SortName, []string{"N"}, "sort by name", false, false},
	{List, SortAge, []string{"A"}, "sort by age", false, false},
	{List, Copy, []string{"c"}, "copy name", false, false},

	{Objects, Describe, []string{"d"}, "describe", false, true},
	{Objects, YAML, []string{"y"}, "YAML", false, true},
	{Objects, Edit, []string{"e"}, "edit", true, true},
	{Objects, Events, []string{"E"}, "events", false, false},
	{Objects, Owner, []string{"O"}, "go to owner", false, false},
	{Objects, ShowTree, []string{"t"}, "tree", false, false},
	{Objects, Delete, []string{"ctrl+d"}, "delete", true, true},

	{Rows, Mark, []string{"space"}, "mark", false, false},
	{Rows, MarkRange, []string{"ctrl+space"}, "mark range", false, false},
	{Rows, MarkAll, []string{"ctrl+a"}, "mark all", false, false},
	{Rows, Unmark, []string{"ctrl+\\"}, "clear marks", false, false},
	{Rows, Unhealthy, []string{"ctrl+z"}, "unhealthy only", false, false},
	{Columns, Wide, []string{"w", "ctrl+w"}, "toggle wide columns", false, false},
	{Namespaced, PickNamespaces, []string{"n"}, "select namespaces", false, false},
	{Namespaced, AllNamespaces, []string{"0"}, "all namespaces", false, false},

	{Pods, ShowLogs, []string{"l"}, "logs", false, true},
	{Pods, Previous, []string{"p"}, "previous logs", false, false},
	{Pods, SearchLogs, []string{"L"}, "search stored logs", false, false},
	{Pods, Shell, []string{"s"}, "shell", true, true},
	{Pods, Attach, []string{"a"}, "attach", true, false},
	{Pods, Forward, []string{"f"}, "port-forward", true, true},
	{Pods, CopyFile, []string{"F"}, "copy files", true, false},
	{Pods, SortCPU, []string{"C"}, "sort by CPU", false, false},
	{Pods, SortMemory, []string{"M"}, "sort by memory", false, false},
	{Pods, ShowNode, []string{"o"}, "go to node", false, false},
	{Pods, Kill, []string{"ctrl+k"}, "kill", true, false},

	{Containers, ShowLogs, []string{"l"}, "logs", false, true},
	{Containers, Previous, []string{"p"}, "previous logs", false, false},
	{Containers, SearchLogs, []string{"L"}, "search stored logs", false, false},
	{Containers, Shell, []string{"s"}, "shell", true, true},
	{Containers, Attach, []string{"a"}, "attach", true, false},
	{Containers, Forward, []string{"f"}, "port-forward", true, false},

	{Scalable, Scale, []string{"s"}, "scale", true, true},
	{Rollout, Restart, []string{"r"}, "restart", true, true},
	{Rollout, ShowHistory, []string{"h"}, "rollout history", false, false},
	{Rollout, Undo, []string{"u"}, "undo rollout", true, false},
	{Selecting, ShowLogs, []string{"l"}, "logs", false, true},
	{Selecting, SearchLogs, []string{"L"}, "search stored logs", false, false},
	{Selecting, Forward, []string{"f"}, "port-forward", true, false},
	{Reachable, Browse, []string{"b"}, "open in browser", false, true},
	{Reachable, CopyAddress, []string{"C"}, "copy address", false, true},
	{CronJobs, Trigger, []string{"T"}, "trigger", true, true},
	{CronJobs, Suspend, []string{"S"}, "suspend or resume", true, false},

	{Nodes, Cordon, []string{"C"}, "cordon", true, true},
	{Nodes, Uncordon, []string{"U"}, "uncordon", true, false},
	{Nodes, Drain, []string{"D"}, "drain", true, true},
	{Nodes, Shell, []string{"s"}, "shell", true, true},
	{Nodes, NodeLogs, []string{"l"}, "logs", false, false},
	{Nodes, SearchLogs, []string{"L"}, "search stored logs", false, false},
	{Nodes, Restart, []string{"r"}, "restart", true, false},
	{Nodes, Add, []string{"+"}, "add worker", true, false},
	{Nodes, Remove, []string{"-"}, "remove last worker", true, false},
	{Nodes, LoadImage, []string{"i"}, "load image", true, false},

	{Clusters, Start, []string{"u"}, "start or repair", true, true},
	{Clusters, Stop, []string{"x"}, "stop", true, false},
	{Clusters, Pause, []string{"p"}, "pause", true, false},
	{Clusters, Resume, []string{"r"}, "resume", true, false},
	{Clusters, Create, []string{"+"}, "create", true, true},
	{Clusters, Delete, []string{"ctrl+d"}, "delete", true, true},
	{Clusters, Snapshot, []string{"S"}, "snapshot", true, false},
	{Clusters, LoadImage, []string{"i"}, "load image", true, false},
	{Clusters, Mark, []string{"space"}, "select", false, false},

	{Cards, Up, []string{"up", "k"}, "up", false, false},
	{Cards, Down, []string{"down", "j"}, "down", false, false},
	{Cards, Left, []string{"left"}, "left", false, false},
	{Cards, Right, []string{"right"}, "right", false, false},
	{Cards, Enter, []string{"enter"}, "open", false, true},

	{Selection, Mark, []string{"space"}, "select", false, true},

	{Secrets, Reveal, []string{"x"}, "show/hide values", false, true},
	{Measured, Graphs, []string{"m"}, "show/hide graphs", false, true},
	{Measured, Longer, []string{"]"}, "longer time", false, false},
	{Measured, Shorter, []string{"["}, "shorter time", false, false},
	{Document, Describe, []string{"d"}, "describe", false, false},
	{Document, YAML, []string{"y"}, "YAML", false, false},
	{Document, Edit, []string{"e"}, "edit", true, true},
	{Forwards, Delete, []string{"ctrl+d"}, "stop", false, true},
	{History, Undo, []string{"u"}, "roll back to a revision", true, true},

	{Text, Up, []string{"up", "k"}, "up", false, false},
	{Text, Down, []string{"down", "j"}, "down", false, false},
	{Text, PageUp, []string{"pgup", "ctrl+b"}, "page up", false, false},
	{Text, PageDown, []string{"pgdown", "ctrl+f", "space"}, "page down", false, false},
	{Text, Top, []string{"home", "g"}, "top", false, false},
	{Text, Bottom, []string{"end", "G"}, "bottom", false, false},
	{Text, Left, []string{"left"}, "scroll left", false, false},
	{Text, Right, []string{"right"}, "scroll right", false, false},
	{Text, Wrap, []string{"w"}, "toggle wrap", false, true},
	{Text, Next, []string{"n"}, "next match", false, false},
	{Text, Prev, []string{"N"}, "previous match", false, false},
	{Text, CopyText, []string{"c"}, "copy all", false, true},

	{Logs, Follow, []string{"f", "s"}, "toggle follow", false, true},
	{Logs, Timestamps, []string{"t"}, "toggle timestamps", false, true},
	{Logs, Previous, []string{"p"}, "previous container", false, false},
	{Logs, SearchLogs, []string{"L"}, "search stored logs", false, true},
	{Logs, Fields, []string{"J"}, "toggle JSON fields", false, true},
	{Logs, Clear, []string{"x"}, "clear", false, false},

	{Tree, Toggle, []string{"space"}, "expand/collapse", false, true},
}
