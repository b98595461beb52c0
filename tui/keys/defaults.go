package keys

// The actions.
const (
	Quit        Action = "quit"
	Back        Action = "back"
	Help        Action = "help"
	Command     Action = "command"
	Filter      Action = "filter"
	Pick        Action = "namespaces"
	PickAll     Action = "all-namespaces"
	Redraw      Action = "redraw"
	Up          Action = "up"
	Down        Action = "down"
	PageUp      Action = "page-up"
	PageDown    Action = "page-down"
	Top         Action = "top"
	Bottom      Action = "bottom"
	Left        Action = "left"
	Right       Action = "right"
	Enter       Action = "open"
	Mark        Action = "mark"
	MarkAll     Action = "mark-all"
	MarkRange   Action = "mark-range"
	Unmark      Action = "unmark"
	SortNext    Action = "sort-next"
	SortPrev    Action = "sort-previous"
	Reverse     Action = "sort-reverse"
	SortName    Action = "sort-name"
	SortAge     Action = "sort-age"
	SortCPU     Action = "sort-cpu"
	SortMemory  Action = "sort-memory"
	Wide        Action = "wide"
	Faults      Action = "faults"
	Copy        Action = "copy"
	CopyText    Action = "copy-text"
	Describe    Action = "describe"
	YAML        Action = "yaml"
	Edit        Action = "edit"
	Delete      Action = "delete"
	Kill        Action = "kill"
	Events      Action = "events"
	Owner       Action = "owner"
	ShowTree    Action = "tree"
	ShowNode    Action = "node"
	ShowLogs    Action = "logs"
	Previous    Action = "previous-logs"
	Shell       Action = "shell"
	Attach      Action = "attach"
	Forward     Action = "port-forward"
	CopyFile    Action = "copy-file"
	Scale       Action = "scale"
	Restart     Action = "restart"
	Undo        Action = "undo"
	ShowHistory Action = "history"
	Trigger     Action = "trigger"
	Suspend     Action = "suspend"
	Cordon      Action = "cordon"
	Uncordon    Action = "uncordon"
	Drain       Action = "drain"
	Add         Action = "add"
	Remove      Action = "remove"
	Start       Action = "start"
	Stop        Action = "stop"
	Pause       Action = "pause"
	Resume      Action = "resume"
	Create      Action = "create"
	Snapshot    Action = "snapshot"
	LoadImage   Action = "load-image"
	Reveal      Action = "reveal"
	Wrap        Action = "wrap"
	Follow      Action = "follow"
	Timestamps  Action = "timestamps"
	Fields      Action = "fields"
	Clear       Action = "clear"
	Next        Action = "next-match"
	Prev        Action = "previous-match"
	Toggle      Action = "toggle"
	NodeLogs    Action = "node-logs"
)

var defaults = []Binding{
	{Everywhere, Help, []string{"?"}, "keys of this screen", false, true},
	{Everywhere, Command, []string{":"}, "go to, or run, anything", false, true},
	{Everywhere, Filter, []string{"/"}, "filter or search", false, true},
	{Everywhere, Back, []string{"esc", "q"}, "clear the filter, or go back", false, false},
	{Everywhere, Quit, []string{"ctrl+c"}, "leave", false, false},
	{Everywhere, Redraw, []string{"ctrl+l"}, "draw the screen anew", false, false},

	{List, Up, []string{"up", "k"}, "up", false, false},
	{List, Down, []string{"down", "j"}, "down", false, false},
	{List, PageUp, []string{"pgup", "ctrl+b"}, "a page up", false, false},
	{List, PageDown, []string{"pgdown", "ctrl+f"}, "a page down", false, false},
	{List, Top, []string{"home", "g"}, "first", false, false},
	{List, Bottom, []string{"end", "G"}, "last", false, false},
	{List, Left, []string{"left"}, "columns to the left", false, false},
	{List, Right, []string{"right"}, "columns to the right", false, false},
	{List, Enter, []string{"enter"}, "open", false, true},
	{List, SortNext, []string{">"}, "sort by the next column", false, false},
	{List, SortPrev, []string{"<"}, "sort by the column before", false, false},
	{List, Reverse, []string{"~"}, "sort the other way round", false, false},
	{List, SortName, []string{"N"}, "sort by name", false, false},
	{List, SortAge, []string{"A"}, "sort by age", false, false},
	{List, Copy, []string{"c"}, "copy the name", false, false},

	{Objects, Describe, []string{"d"}, "describe", false, true},
	{Objects, YAML, []string{"y"}, "YAML", false, true},
	{Objects, Edit, []string{"e"}, "edit in $EDITOR", true, true},
	{Objects, Events, []string{"E"}, "events of it", false, false},
	{Objects, Owner, []string{"O"}, "go to the owner", false, false},
	{Objects, ShowTree, []string{"t"}, "tree of owner and owned", false, false},
	{Objects, Delete, []string{"ctrl+d"}, "delete", true, true},

	{Rows, Mark, []string{"space"}, "mark", false, false},
	{Rows, MarkRange, []string{"ctrl+space"}, "mark from the last mark to here", false, false},
	{Rows, MarkAll, []string{"ctrl+a"}, "mark all that are shown", false, false},
	{Rows, Unmark, []string{"ctrl+\\"}, "unmark all", false, false},
	{Rows, Faults, []string{"ctrl+z"}, "only what is not well", false, false},
	{Columns, Wide, []string{"w", "ctrl+w"}, "all columns, or the usual ones", false, false},
	{Spaces, Pick, []string{"n"}, "choose namespaces", false, false},
	{Spaces, PickAll, []string{"0"}, "all namespaces", false, false},

	{Pods, ShowLogs, []string{"l"}, "logs", false, true},
	{Pods, Previous, []string{"p"}, "logs of the container before", false, false},
	{Pods, Shell, []string{"s"}, "shell", true, true},
	{Pods, Attach, []string{"a"}, "attach", true, false},
	{Pods, Forward, []string{"f"}, "forward a port", true, true},
	{Pods, CopyFile, []string{"F"}, "copy a file from or to it", true, false},
	{Pods, SortCPU, []string{"C"}, "sort by CPU, the most first", false, false},
	{Pods, SortMemory, []string{"M"}, "sort by memory", false, false},
	{Pods, ShowNode, []string{"o"}, "go to its node", false, false},
	{Pods, Kill, []string{"ctrl+k"}, "delete at once, without grace", true, false},

	{Containers, ShowLogs, []string{"l"}, "logs", false, true},
	{Containers, Previous, []string{"p"}, "logs of the container before", false, false},
	{Containers, Shell, []string{"s"}, "shell", true, true},
	{Containers, Attach, []string{"a"}, "attach", true, false},
	{Containers, Forward, []string{"f"}, "forward a port", true, false},

	{Scalable, Scale, []string{"s"}, "scale", true, true},
	{Rollout, Restart, []string{"r"}, "restart", true, true},
	{Rollout, ShowHistory, []string{"h"}, "rollout history", false, false},
	{Rollout, Undo, []string{"u"}, "undo the last rollout", true, false},
	{Selecting, ShowLogs, []string{"l"}, "logs of its pods", false, true},
	{Selecting, Forward, []string{"f"}, "forward a port", true, false},
	{Cronjobs, Trigger, []string{"T"}, "run it now", true, true},
	{Cronjobs, Suspend, []string{"S"}, "suspend or go on", true, false},

	{Nodes, Cordon, []string{"C"}, "cordon", true, true},
	{Nodes, Uncordon, []string{"U"}, "uncordon", true, false},
	{Nodes, Drain, []string{"D"}, "drain", true, true},
	{Nodes, Shell, []string{"s"}, "shell on the node", true, true},
	{Nodes, NodeLogs, []string{"l"}, "logs of the node", false, false},
	{Nodes, Restart, []string{"r"}, "restart the machine", true, false},
	{Nodes, Add, []string{"+"}, "add a worker", true, false},
	{Nodes, Remove, []string{"-"}, "remove the last worker", true, false},
	{Nodes, LoadImage, []string{"i"}, "load an image", true, false},

	{Clusters, Start, []string{"u"}, "start, or heal", true, true},
	{Clusters, Stop, []string{"x"}, "stop", true, false},
	{Clusters, Pause, []string{"p"}, "pause, keeping memory", true, false},
	{Clusters, Resume, []string{"r"}, "resume", true, false},
	{Clusters, Create, []string{"+"}, "create a cluster", true, true},
	{Clusters, Delete, []string{"ctrl+d"}, "delete", true, true},
	{Clusters, Snapshot, []string{"S"}, "take a snapshot", true, false},
	{Clusters, LoadImage, []string{"i"}, "load an image", true, false},
	{Clusters, Mark, []string{"space"}, "show it together with others", false, false},

	{Cards, Up, []string{"up", "k"}, "the card above", false, false},
	{Cards, Down, []string{"down", "j"}, "the card below", false, false},
	{Cards, Left, []string{"left"}, "the card to the left", false, false},
	{Cards, Right, []string{"right"}, "the card to the right", false, false},
	{Cards, Enter, []string{"enter"}, "open", false, true},

	{Choosing, Mark, []string{"space"}, "choose several", false, true},

	{Secrets, Reveal, []string{"x"}, "show or hide the values", false, true},
	{Document, Describe, []string{"d"}, "describe", false, false},
	{Document, YAML, []string{"y"}, "YAML", false, false},
	{Document, Edit, []string{"e"}, "edit in $EDITOR", true, true},
	{Forwards, Delete, []string{"ctrl+d"}, "end", false, true},
	{History, Undo, []string{"u"}, "go back to this revision", true, true},

	{Text, Up, []string{"up", "k"}, "up", false, false},
	{Text, Down, []string{"down", "j"}, "down", false, false},
	{Text, PageUp, []string{"pgup", "ctrl+b"}, "a page up", false, false},
	{Text, PageDown, []string{"pgdown", "ctrl+f", "space"}, "a page down", false, false},
	{Text, Top, []string{"home", "g"}, "beginning", false, false},
	{Text, Bottom, []string{"end", "G"}, "end", false, false},
	{Text, Left, []string{"left"}, "to the left", false, false},
	{Text, Right, []string{"right"}, "to the right", false, false},
	{Text, Wrap, []string{"w"}, "wrap long lines", false, true},
	{Text, Next, []string{"n"}, "next match", false, false},
	{Text, Prev, []string{"N"}, "match before", false, false},
	{Text, CopyText, []string{"c"}, "copy all", false, true},

	{Logs, Follow, []string{"f", "s"}, "follow, or stand still", false, true},
	{Logs, Timestamps, []string{"t"}, "times", false, true},
	{Logs, Previous, []string{"p"}, "the container before", false, false},
	{Logs, Fields, []string{"J"}, "JSON lines as fields", false, true},
	{Logs, Clear, []string{"x"}, "clear", false, false},

	{Tree, Toggle, []string{"space"}, "open or close a branch", false, true},
}
