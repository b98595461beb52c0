package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/screen"
)

// requests carries out what a screen asks for.
func (m *Model) requests(all []screen.Request) tea.Cmd {
	var cmds []tea.Cmd
	for _, r := range all {
		switch r := r.(type) {
		case screen.Push:
			if r.Replace && len(m.stack) > 0 {
				m.stack = m.stack[:len(m.stack)-1]
			}
			m.push(r.Screen)
		case screen.Pop:
			if len(m.stack) > 1 {
				m.stack = m.stack[:len(m.stack)-1]
			}
		case screen.Say:
			m.say(r.Text, r.Bad)
		case screen.Ask:
			m.overlay = &question{Ask: r}
		case screen.Fill:
			m.overlay = &sheet{Fill: r}
		case screen.Choose:
			m.choose(r.Clusters, r.Namespaces)
		case screen.Sorted:
			orders := maps.Clone(m.world.Orders) // the one before may be being saved
			if orders == nil {
				orders = map[string]screen.Order{}
			}
			orders[r.Resource] = r.Order
			m.world.Orders = orders
			m.remember()
		case screen.CopyText:
			m.say("copied "+r.What, false)
			cmds = append(cmds, tea.SetClipboard(r.Text))
		case screen.Look:
			cmds = append(cmds, m.look(r))
		case screen.Do:
			cmds = append(cmds, m.do(r.Cluster, r.Task))
		}
	}
	return tea.Batch(cmds...)
}

// taskLimit is how long a task may take that nobody watches.
const taskLimit = time.Minute

// look reads facts and then asks for what they lead to.
func (m *Model) look(r screen.Look) tea.Cmd {
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
		return factsMsg{r, facts}
	}
}

// factsMsg is what Look read: Then belongs to the screen, so Update calls it.
type factsMsg struct {
	look  screen.Look
	facts feed.Facts
}

func failure(err error) tea.Msg {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return requestsMsg{notice: notice{text: err.Error(), bad: true}}
}

// do carries a task out: in the terminal, as a job with a screen of its own, or
// in the background with a line when it is done.
func (m *Model) do(cluster string, task feed.Task) tea.Cmd {
	switch task.Verb {
	case feed.VerbEdit, feed.VerbShell, feed.VerbAttach:
		return m.inTerminal(cluster, task)
	case feed.VerbSkiff:
		title := task.Title()
		s, cmd := m.begin(title, func(ctx context.Context, out io.Writer) error {
			return m.config.Host.Skiff(ctx, task.Command, strings.NewReader(""), out)
		})
		m.push(s)
		return cmd
	case feed.VerbDrain, feed.VerbCopy:
		s, cmd := m.begin(task.Title(), func(ctx context.Context, out io.Writer) error {
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
	m.say(task.Title()+" …", false)
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
		m.say(fmt.Sprintf("invalid port %q: use a number from 0 to 65535", task.Args["local"]), true)
		return nil
	}
	return func() tea.Msg {
		api, err := m.apis.get(m.ctx, cluster)
		if err != nil {
			return failure(err)
		}
		// It lives as long as the program, not as the request.
		port, err := api.Forward(m.ctx, task.Refs[0], local, task.Args["port"])
		if err != nil {
			return failure(err)
		}
		return requestsMsg{notice: notice{text: fmt.Sprintf("forwarding 127.0.0.1:%d to %s, port %s; :forwards lists all", port, task.Refs[0], task.Args["port"])}}
	}
}

// inTerminal hands the terminal over.
func (m *Model) inTerminal(cluster string, task feed.Task) tea.Cmd {
	job := &terminalJob{work: func(in io.Reader, out io.Writer) error {
		// Whoever ended the last program on this screen starts on a clean one.
		fmt.Fprint(out, "\x1b[H\x1b[2J")
		if task.Command != nil {
			return m.config.Host.Skiff(m.ctx, task.Command, in, out)
		}
		api, err := m.apis.get(m.ctx, cluster)
		if err != nil {
			return err
		}
		return api.Interactive(m.ctx, task, in, out)
	}}
	return tea.Exec(job, func(err error) tea.Msg {
		switch {
		case errors.Is(err, feed.ErrUnchanged):
			return requestsMsg{notice: notice{text: err.Error()}}
		case err != nil:
			return failure(err)
		}
		return requestsMsg{notice: notice{text: task.Title() + ": done"}}
	})
}

// noColour says whether the person wants no colours (https://no-color.org).
func noColour() bool { return os.Getenv("NO_COLOR") != "" }
