package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/tui/machine"
	"github.com/skiff-dev/skiff/tui/screen"
)

// requests carries out the requests of a screen.
func (m *Model) requests(all []screen.Request) tea.Cmd {
	var cmds []tea.Cmd
	for _, r := range all {
		switch r := r.(type) {
		case screen.Open:
			s := m.build(r.To)
			if r.Replace && len(m.stack) > 0 {
				m.stack = m.stack[:len(m.stack)-1]
			}
			m.push(s)
		case screen.Pop:
			if len(m.stack) > 1 {
				m.stack = m.stack[:len(m.stack)-1]
			}
		case screen.Say:
			m.notify(r.Text, r.Bad)
		case screen.Ask:
			m.overlay = &questionDialog{Ask: r}
		case screen.Fill:
			m.overlay = &formDialog{Fill: r}
		case screen.Choose:
			m.choose(r.Clusters, r.Namespaces)
		case screen.Sorted:
			orders := maps.Clone(m.world.Orders) // the current map may be in use by remember
			if orders == nil {
				orders = map[string]screen.Order{}
			}
			orders[r.Resource] = r.Order
			m.world.Orders = orders
			m.remember()
		case screen.CopyText:
			m.notify("copied "+r.What, false)
			cmds = append(cmds, tea.SetClipboard(r.Text))
		case screen.Browse:
			m.notify("opening "+r.URL+" …", false)
			cmds = append(cmds, m.browse(r.URL))
		case screen.Look:
			cmds = append(cmds, m.look(r))
		case screen.Do:
			cmds = append(cmds, m.do(r.Cluster, r.Task))
		case screen.Run:
			cmds = append(cmds, m.operate(r.Operation))
		}
	}
	return tea.Batch(cmds...)
}

// browse opens a URL. A failure shows the URL, so that the user can open it
// elsewhere.
func (m *Model) browse(url string) tea.Cmd {
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, taskLimit)
		defer cancel()
		if err := m.config.Host.Browse(ctx, url); err != nil {
			return failure(fmt.Errorf("%w\nopen it yourself: %s", err, url))
		}
		return requestsMsg{notice: notice{text: "opened " + url}}
	}
}

// taskLimit is the timeout of a background task.
const taskLimit = time.Minute

// look reads the facts of an object and continues with the requests they lead to.
func (m *Model) look(r screen.Look) tea.Cmd {
	from := m.top()
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, taskLimit)
		defer cancel()
		api, err := m.apis.get(ctx, r.Ref.Cluster)
		if err != nil {
			return failure(err)
		}
		facts, err := api.Facts(ctx, r.Ref)
		if err != nil {
			return failure(err)
		}
		return factsMsg{r, facts, from}
	}
}

// factsMsg is the result of Look. Update continues with it, because Then belongs to the
// screen.
type factsMsg struct {
	look  screen.Look
	facts feed.Facts
	from  screen.Screen // which was visible when Look was requested
}

// continued carries out the requests that facts lead to. If the user has gone to another
// screen, a dialog or the prompt in the meantime, it does nothing: a dialog that appears then
// would take keys that were meant for something else.
func (m *Model) continued(msg factsMsg) tea.Cmd {
	if msg.from != m.top() || m.overlay != nil || m.prompt != nil {
		return nil
	}
	return m.requests(msg.look.Then(msg.facts))
}

func failure(err error) tea.Msg {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return requestsMsg{notice: notice{text: err.Error(), bad: true}}
}

// operate runs an operation on a cluster or its machines: in the terminal, or as
// a job with its own screen.
func (m *Model) operate(o machine.Operation) tea.Cmd {
	if _, ok := o.(machine.Shell); ok {
		return m.inTerminal(o.Title(), func(in io.Reader, out io.Writer) error {
			return m.config.Host.Operate(m.ctx, o, in, out)
		})
	}
	s, cmd := m.startJob(o.Title(), func(ctx context.Context, out io.Writer) error {
		return m.config.Host.Operate(ctx, o, strings.NewReader(""), out)
	})
	m.push(s)
	return cmd
}

// do carries out a task: in the terminal, as a job with its own screen, or in the
// background with a notice when it is done.
func (m *Model) do(cluster string, task feed.Task) tea.Cmd {
	switch task.Verb {
	case feed.VerbEdit, feed.VerbShell, feed.VerbAttach:
		return m.inTerminal(task.Title(), func(in io.Reader, out io.Writer) error {
			api, err := m.apis.get(m.ctx, cluster)
			if err != nil {
				return err
			}
			return api.Interactive(m.ctx, task, in, out)
		})
	case feed.VerbDrain, feed.VerbCopy:
		s, cmd := m.startJob(task.Title(), func(ctx context.Context, out io.Writer) error {
			api, err := m.apis.get(ctx, cluster)
			if err != nil {
				return err
			}
			return api.Do(ctx, task, out)
		})
		m.push(s)
		return cmd
	case feed.VerbStopForward:
		return func() tea.Msg { m.config.Ports.Stop(task.Args["id"]); return nil }
	case feed.VerbForward:
		return m.forward(cluster, task)
	}
	m.notify(task.Title()+" …", false)
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, taskLimit)
		defer cancel()
		api, err := m.apis.get(ctx, cluster)
		if err != nil {
			return failure(err)
		}
		var out strings.Builder
		if err := api.Do(ctx, task, &out); err != nil {
			return failure(err)
		}
		return requestsMsg{notice: notice{text: lastLine(out.String(), task.Title()+": done")}}
	}
}

func lastLine(text, otherwise string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	switch {
	case lines[0] == "":
		return otherwise
	case len(lines) > 1:
		return fmt.Sprintf("%s, and %d more", lines[0], len(lines)-1)
	}
	return lines[0]
}

func (m *Model) forward(cluster string, task feed.Task) tea.Cmd {
	local, err := strconv.Atoi(task.Args["local"])
	if err != nil || local < 0 || local > 65535 || len(task.Refs) == 0 {
		m.notify(fmt.Sprintf("invalid port %q: use a number from 0 to 65535", task.Args["local"]), true)
		return nil
	}
	return func() tea.Msg {
		api, err := m.apis.get(m.ctx, cluster)
		if err != nil {
			return failure(err)
		}
		// The forward lives as long as the program, not as long as the request.
		port, err := api.Forward(m.ctx, task.Refs[0], local, task.Args["port"])
		if err != nil {
			return failure(err)
		}
		return requestsMsg{notice: notice{text: fmt.Sprintf("forwarding 127.0.0.1:%d to %s, port %s; :forwards lists all", port, task.Refs[0], task.Args["port"])}}
	}
}
