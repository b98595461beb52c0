// Package app is the dashboard program. It keeps the screens on a stack, feeds
// them data, passes them the actions that keys are bound to and carries out
// their requests. Update never blocks: everything that may wait is a tea.Cmd.
package app

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/tui/filter"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/machine"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/help"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Kubernetes is a cluster's API. All methods return when ctx ends.
type Kubernetes interface {
	// Run delivers what need asks for until ctx ends. emit does not block.
	Run(ctx context.Context, need feed.Need, emit func(any))
	// Do carries out a task and reports its results to out.
	Do(ctx context.Context, task feed.Task, out io.Writer) error
	// Interactive carries out a task that takes over the terminal.
	Interactive(ctx context.Context, task feed.Task, in io.Reader, out io.Writer) error
	// Facts returns the properties of an object that actions on it need.
	Facts(ctx context.Context, ref object.Ref) (feed.Facts, error)
	// Forward forwards a local port, 0 for any free one, to a port of ref until ctx
	// ends. It returns the local port.
	Forward(ctx context.Context, ref object.Ref, local int, remote string) (int, error)
}

// Host is this host: its clusters and the skiff commands.
type Host interface {
	// Clusters returns the clusters on this host, including stopped ones.
	Clusters(ctx context.Context) ([]daemonapi.ClusterStatus, error)
	// NodeStatus returns the status that a node reports about itself.
	NodeStatus(ctx context.Context, cluster, node string) (nodeapi.Status, error)
	// Services returns what this host reaches of a cluster, and where.
	Services(ctx context.Context, cluster string) (daemonapi.Services, error)
	// Measure evaluates an expression in PromQL over what was recorded of a cluster in the
	// last span, which it divides into points. It returns the values of the first series,
	// NaN where there is none.
	Measure(ctx context.Context, cluster, expression string, span time.Duration, points int) ([]float64, error)
	// StoredLogs searches the log store of a cluster. The oldest entry is first.
	StoredLogs(ctx context.Context, need feed.StoredLogs) ([]feed.Line, error)
	// Browse opens a URL in the user's browser. It does not wait for the browser to
	// end.
	Browse(ctx context.Context, url string) error
	// Connect returns the API of a cluster. It does not wait for the API to respond.
	Connect(ctx context.Context, cluster string) (Kubernetes, error)
	// Verbs are the available skiff commands.
	Verbs() map[string]bool
	// Operate runs an operation and writes its progress to out. in is the terminal
	// for operations that need it.
	Operate(ctx context.Context, o machine.Operation, in io.Reader, out io.Writer) error
	// EtcdMembers returns the etcd members of a cluster on this host.
	EtcdMembers(ctx context.Context, cluster string) ([]controlapi.EtcdMember, error)
}

// Ports are the active port-forwards.
type Ports interface {
	// Run delivers the list, again whenever it changes, until ctx ends.
	Run(ctx context.Context, emit func(any))
	// Stop ends a port-forward.
	Stop(id string)
}

// Config configures the dashboard.
type Config struct {
	Host  Host
	Ports Ports
	// Clusters to show first; if empty, the list of clusters is shown.
	Clusters   []string
	Namespaces []string
	// Start is the first screen, one of Starts. If empty, it is the
	// screen that was shown last.
	Start    string
	ReadOnly bool
	Settings Settings
	// Save stores the state for the next run; it may be nil.
	Save func(State)
	// Now returns the current time; time.Now if nil.
	Now func() time.Time
}

// Model implements tea.Model.
type Model struct {
	config Config
	ctx    context.Context // bounds feeds and tasks: a tea.Model receives no context
	stop   context.CancelFunc

	world         screen.World
	stack         []screen.Screen
	feeds         map[string]*subscription
	apis          *connections
	jobs          *jobs
	saver         stateSaver
	overlay       overlay
	prompt        *prompt
	waiting       *waiting
	notice        notice
	width, height int
	clicked       click
	history       []string // commands, newest last
	quitting      bool
}

type notice struct {
	text  string
	bad   bool
	until time.Time
}

type click struct {
	x, y int
	at   time.Time
}

// New returns the model of the dashboard. Its feeds and tasks end with ctx.
func New(ctx context.Context, config Config) *Model {
	if config.Now == nil {
		config.Now = time.Now
	}
	ctx, stop := context.WithCancel(ctx)
	m := &Model{
		config: config, ctx: ctx, stop: stop, feeds: map[string]*subscription{}, apis: newConnections(config.Host), jobs: newJobs(),
		width: 80, height: 24,
		world: screen.World{
			Now: config.Now(), Theme: config.Settings.theme(), Keys: config.Settings.Keys,
			Clusters: config.Clusters, Namespaces: config.Namespaces,
			Orders: config.Settings.Remembered.Orders, Resources: map[string][]object.Resource{}, Hosts: map[string]daemonapi.ClusterStatus{},
			Verbs: config.Host.Verbs(), ReadOnly: config.ReadOnly || config.Settings.ReadOnly,
		},
	}
	m.stack = []screen.Screen{m.first(config.Start)}
	return m
}

type tickMsg time.Time

func tick() tea.Cmd {
	return tea.Tick(time.Second, func(t time.Time) tea.Msg { return tickMsg(t) })
}

// Init implements tea.Model.
func (m *Model) Init() tea.Cmd { return tea.Batch(tick(), m.reconcile()) }

// Update implements tea.Model.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		return m, nil
	case tickMsg:
		m.world.Now = m.config.Now()
		return m, tick()
	case deliveryMsg:
		return m, m.deliver(msg)
	case tea.KeyPressMsg:
		m.waiting = nil
		cmd = m.key(msg)
	case tea.PasteMsg:
		m.paste(msg.Content)
	case tea.MouseClickMsg:
		m.waiting = nil
		cmd = m.click(msg)
	case tea.MouseWheelMsg:
		m.wheel(msg)
	case requestsMsg:
		cmd = m.requests(msg.requests)
		if msg.notice != (notice{}) {
			m.notify(msg.notice.text, msg.notice.bad)
		}
	case jobDoneMsg:
		m.notice = notice{msg.text, msg.bad, m.config.Now().Add(noticeTime)}
	case factsMsg:
		cmd = m.continued(msg)
	case tea.BackgroundColorMsg:
		if m.config.Settings.Theme == "" && !msg.IsDark() && m.world.Theme.Name == theme.Default {
			m.world.Theme = theme.Named("paper")
		}
		return m, nil
	default:
		return m, nil
	}
	if m.quitting {
		m.stop()
		return m, tea.Quit
	}
	return m, tea.Batch(cmd, m.reconcile())
}

// requestsMsg is the result of a command.
type requestsMsg struct {
	requests []screen.Request
	notice   notice
}

// top returns the visible screen.
func (m *Model) top() screen.Screen { return m.stack[len(m.stack)-1] }

// noticeTime is how long a notice is shown in the last line.
const noticeTime = 8 * time.Second

// notify shows a notice in the last line. A failure that does not fit there is
// shown in a dialog, unless the user is typing.
func (m *Model) notify(text string, bad bool) {
	line, _, more := strings.Cut(text, "\n")
	if bad && (more || widget.Width(line) > m.width-2) && m.overlay == nil && m.prompt == nil {
		m.overlay = &errorDialog{text}
		return
	}
	m.notice = notice{line, bad, m.config.Now().Add(noticeTime)}
}

// key handles a key press. It goes to the overlay if there is one, else to the
// prompt, else to the screen.
func (m *Model) key(msg tea.KeyPressMsg) tea.Cmd {
	key := msg.String()
	// ctrl+c directly after escape is read as alt+ctrl+c.
	if key == "ctrl+c" || key == "alt+ctrl+c" {
		m.quitting = true
		return nil
	}
	if m.overlay != nil {
		requests, done := m.overlay.key(key, msg.Text)
		if done {
			m.overlay = nil
		}
		return m.requests(requests)
	}
	if m.prompt != nil {
		return m.promptKey(key, msg.Text)
	}
	binding, ok := m.world.Keys.Lookup(key, m.top().Scopes()...)
	if !ok {
		return nil
	}
	if binding.Changes && m.world.ReadOnly {
		m.notify("not available in read-only mode: "+binding.Help, true)
		return nil
	}
	m.notice = notice{}
	return m.act(binding.Action)
}

func (m *Model) act(action keys.Action) tea.Cmd {
	switch action {
	case keys.Quit:
		m.quitting = true
	case keys.Help:
		if _, already := m.top().(*help.Screen); !already {
			m.push(m.build(screen.Help{}))
		}
	case keys.Command:
		m.prompt = newPrompt(':', "")
		m.suggest()
	case keys.Filter:
		if f, ok := m.top().(screen.Filtered); ok {
			m.prompt = newPrompt('/', f.Filter().String())
		}
	case keys.Back:
		m.back()
	case keys.Redraw:
		return tea.ClearScreen
	default:
		return m.requests(m.top().Act(&m.world, action))
	}
	return nil
}

// back clears the filter or, if there is none, closes the screen unless it is
// the first.
func (m *Model) back() {
	if f, ok := m.top().(screen.Filtered); ok && f.Filter().String() != "" {
		f.SetFilter(&m.world, filter.Filter{})
		return
	}
	if len(m.stack) > 1 {
		m.stack = m.stack[:len(m.stack)-1]
	} else {
		m.notify("this is the first screen; press ctrl+c or type :q to quit", false)
	}
}

// maxStack bounds the number of screens on the stack.
const maxStack = 20

// push shows a screen on top of the others. A screen with the same name that is
// already on the stack is removed, which keeps the way back short.
func (m *Model) push(s screen.Screen) {
	m.stack = slices.DeleteFunc(m.stack, func(other screen.Screen) bool {
		same := other.Crumb() == s.Crumb()
		if r, ok := s.(screen.Resumer); ok && same {
			r.Resume(other)
		}
		return same
	})
	m.stack = append(m.stack, s)
	if len(m.stack) > maxStack {
		m.stack = append([]screen.Screen{m.stack[0]}, m.stack[2:]...)
	}
	m.replay(s)
	m.recordView(s)
}

func (m *Model) paste(text string) {
	switch {
	case m.overlay != nil:
		m.overlay.key("", text)
	case m.prompt != nil:
		m.promptKey("", text)
	}
}

// choose selects clusters or namespaces for all screens; nil keeps the current
// selection.
func (m *Model) choose(clusters, namespaces []string) {
	if clusters != nil && !slices.Equal(clusters, m.world.Clusters) {
		m.world.Clusters = clusters
		if len(clusters) == 0 {
			m.stack = []screen.Screen{m.build(screen.Clusters{})}
		}
	}
	if namespaces != nil {
		m.world.Namespaces = namespaces
	}
	for _, s := range m.stack {
		if r, ok := s.(screen.Chooser); ok {
			r.Rechoose(&m.world)
			m.replay(s)
		}
	}
	m.remember()
}

// click passes a mouse click to the screen. In the title line it goes back to the
// screen that was clicked.
func (m *Model) click(msg tea.MouseClickMsg) tea.Cmd {
	if m.overlay != nil || msg.Button != tea.MouseLeft {
		return nil
	}
	now := m.config.Now()
	double := m.clicked.x == msg.X && m.clicked.y == msg.Y && now.Sub(m.clicked.at) < 500*time.Millisecond
	m.clicked = click{msg.X, msg.Y, now}
	if msg.Y == bodyTop-1 {
		m.clickCrumb(msg.X)
		return nil
	}
	if p, ok := m.top().(screen.Pointed); ok && msg.Y >= bodyTop && msg.Y < m.height-1 {
		hit, requests := p.Click(msg.X, msg.Y-bodyTop)
		if hit && double {
			requests = append(requests, m.top().Act(&m.world, keys.Enter)...)
		}
		return m.requests(requests)
	}
	return nil
}

func (m *Model) wheel(msg tea.MouseWheelMsg) {
	p, ok := m.top().(interface{ Wheel(int) })
	if !ok || m.overlay != nil {
		return
	}
	switch msg.Button {
	case tea.MouseWheelUp:
		p.Wheel(-1)
	case tea.MouseWheelDown:
		p.Wheel(1)
	}
}
