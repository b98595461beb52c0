package screen

import (
	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/machine"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Request is something that a screen asks the program to do.
type Request interface{ request() }

// Open opens a screen on top of the current one, or in its place with Replace.
type Open struct {
	To      Destination
	Replace bool
}

// Pop returns to the previous screen.
type Pop struct{}

// Do runs a task on objects of a cluster. Tasks that need the terminal get it.
type Do struct {
	Cluster string
	Task    feed.Task
}

// Run runs an operation on a cluster of this host or on its machines.
type Run struct{ Operation machine.Operation }

// Ask carries out Then after the user has confirmed. If Word is set, the user
// must type it to confirm.
type Ask struct {
	Title string
	Lines []string
	Word  string
	Then  []Request
}

// Fill asks for values.
type Fill struct {
	Form *widget.Form
	Then func(map[string]string) []Request
}

// Look reads facts about an object and passes them to Then.
type Look struct {
	Ref  object.Ref
	Then func(feed.Facts) []Request
}

// Say shows a message in the last line for a while.
type Say struct {
	Text string
	Bad  bool
}

// CopyText copies text to the clipboard.
type CopyText struct{ What, Text string }

// Browse opens a URL in the browser of this host.
type Browse struct{ URL string }

// Choose changes the selection that all screens follow. A nil field keeps the
// current selection.
type Choose struct{ Clusters, Namespaces []string }

// Sorted asks to remember the sort order of a resource.
type Sorted struct {
	Resource string // the resource's ID
	Order    Order
}

func (Sorted) request()   {}
func (Open) request()     {}
func (Pop) request()      {}
func (Do) request()       {}
func (Run) request()      {}
func (Ask) request()      {}
func (Fill) request()     {}
func (Look) request()     {}
func (Say) request()      {}
func (CopyText) request() {}
func (Browse) request()   {}
func (Choose) request()   {}

// Message returns the request to show one message.
func Message(text string) []Request { return []Request{Say{Text: text}} }

// Failure returns the request to show one error message.
func Failure(text string) []Request { return []Request{Say{Text: text, Bad: true}} }

// Show returns the request to open one screen.
func Show(to Destination) []Request { return []Request{Open{To: to}} }

// Copy returns the request to copy a name to the clipboard.
func Copy(name string) []Request { return []Request{CopyText{What: name, Text: name}} }
