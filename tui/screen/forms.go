package screen

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/widget"
)

// scaleForm asks how many replicas there shall be, and again before any are
// taken away. Facts are those of the first object.
func scaleForm(refs []object.Ref, facts feed.Facts) []Request {
	title := "Scale " + refs[0].String()
	if len(refs) > 1 {
		title = fmt.Sprintf("Scale %d %s", len(refs), refs[0].Resource.Name)
	}
	now := max(facts.Replicas, 0)
	form := widget.NewForm(title, []widget.Field{{Name: "replicas", Label: "Replicas", Value: fmt.Sprint(now)}})
	return []Request{Fill{Form: form, Then: func(values map[string]string) []Request {
		then := together(feed.VerbScale, refs, values)
		wanted, err := strconv.ParseInt(values["replicas"], 10, 32)
		if err != nil || wanted < 0 {
			return []Request{Say{Text: fmt.Sprintf("invalid number of replicas %q", values["replicas"]), Bad: true}}
		}
		switch {
		case len(refs) > 1:
			return []Request{Ask{Title: fmt.Sprintf("%s to %d?", title, wanted), Lines: append(few(namesOf(refs), maxNamed), "", "Pods beyond that number are deleted."), Then: then}}
		case wanted < now:
			return []Request{Ask{Title: fmt.Sprintf("%s down from %d to %d?", title, now, wanted), Lines: []string{count(int(now-wanted), "pod is", "pods are") + " deleted."}, Then: then}}
		}
		return then
	}}}
}

// inContainer runs a verb in a pod's container; which one is asked if there
// are several.
func inContainer(ref object.Ref, verb feed.Verb, containers []string) []Request {
	if len(containers) < 2 {
		return []Request{do(ref, verb, map[string]string{"container": strings.Join(containers, "")})}
	}
	form := widget.NewForm(strings.ToUpper(string(verb[:1]))+string(verb[1:])+" in "+ref.String(), []widget.Field{
		{Name: "container", Label: "Container", Value: containers[0], Choices: containers, Hint: chooseHint},
	})
	return []Request{Fill{Form: form, Then: func(values map[string]string) []Request {
		return []Request{do(ref, verb, values)}
	}}}
}

func copyForm(ref object.Ref, containers []string) []Request {
	fields := []widget.Field{
		{Name: "from", Label: "From", Value: ":/", Hint: "local path; prefix with : for a path in the container"},
		{Name: "to", Label: "To", Value: ".", Hint: "target directory"},
	}
	if len(containers) > 1 {
		fields = append(fields, widget.Field{Name: "container", Label: "Container", Value: containers[0], Choices: containers, Hint: chooseHint})
	}
	return []Request{Fill{Form: widget.NewForm("Copy files: "+ref.String(), fields), Then: func(values map[string]string) []Request {
		return []Request{do(ref, feed.VerbCopy, values)}
	}}}
}

// forwardTo asks which ports to connect.
func forwardTo(ref object.Ref) []Request {
	return []Request{Look{Ref: ref, Then: func(f feed.Facts) []Request {
		port := widget.Field{Name: "port", Label: "Remote port", Hint: "port number or name"}
		if len(f.Ports) > 0 {
			port.Value = f.Ports[0]
		}
		if len(f.Ports) > 1 {
			port.Hint = "available: " + strings.Join(few(f.Ports, 6), ", ")
		}
		form := widget.NewForm("Port-forward to "+ref.String(), []widget.Field{
			port, {Name: "local", Label: "Local port", Value: "0", Hint: "on 127.0.0.1; 0 picks a free port"},
		})
		return []Request{Fill{Form: form, Then: func(values map[string]string) []Request {
			return []Request{do(ref, feed.VerbForward, values)}
		}}}
	}}}
}
