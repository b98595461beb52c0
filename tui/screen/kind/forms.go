package kind

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/widget"
)

// scaleForm asks for the number of replicas, and asks again before it removes
// any. The facts are those of the first object.
func scaleForm(refs []object.Ref, facts feed.Facts) []screen.Request {
	title := "Scale " + refs[0].String()
	if len(refs) > 1 {
		title = fmt.Sprintf("Scale %d %s", len(refs), refs[0].Resource.Name)
	}
	current := max(facts.Replicas, 0)
	form := widget.NewForm(title, []widget.Field{{Name: "replicas", Label: "Replicas", Value: fmt.Sprint(current)}})
	return []screen.Request{screen.Fill{Form: form, Then: func(values map[string]string) []screen.Request {
		desired, err := strconv.ParseInt(values["replicas"], 10, 32)
		if err != nil || desired < 0 {
			return screen.Failure(fmt.Sprintf("invalid number of replicas %q", values["replicas"]))
		}
		scale := DoAll(feed.VerbScale, refs, values)
		switch {
		case len(refs) > 1:
			lines := append(format.Few(namesOf(refs), MaxNamed), "", "Pods beyond that number are deleted.")
			return []screen.Request{screen.Ask{Title: fmt.Sprintf("%s to %d?", title, desired), Lines: lines, Then: scale}}
		case desired < current:
			lost := format.Count(int(current-desired), "pod is", "pods are") + " deleted."
			return []screen.Request{screen.Ask{Title: fmt.Sprintf("%s down from %d to %d?", title, current, desired), Lines: []string{lost}, Then: scale}}
		}
		return scale
	}}}
}

// containerForm runs a task in a container of a pod. It asks which one if there
// are several.
func containerForm(ref object.Ref, verb feed.Verb, title string, containers []string) []screen.Request {
	if len(containers) < 2 {
		return Do(ref, verb, map[string]string{"container": strings.Join(containers, "")})
	}
	form := widget.NewForm(title+ref.String(), []widget.Field{containerField(containers)})
	return []screen.Request{screen.Fill{Form: form, Then: func(values map[string]string) []screen.Request { return Do(ref, verb, values) }}}
}

func containerField(containers []string) widget.Field {
	return widget.Field{Name: "container", Label: "Container", Value: containers[0], Choices: containers, Hint: format.ChooseHint}
}

// copyForm asks which files to copy from or to a pod.
func copyForm(ref object.Ref, containers []string) []screen.Request {
	fields := []widget.Field{
		{Name: "from", Label: "From", Value: ":/", Hint: "local path; prefix with : for a path in the container"},
		{Name: "to", Label: "To", Value: ".", Hint: "target directory"},
	}
	if len(containers) > 1 {
		fields = append(fields, containerField(containers))
	}
	form := widget.NewForm("Copy files: "+ref.String(), fields)
	return []screen.Request{screen.Fill{Form: form, Then: func(values map[string]string) []screen.Request {
		return Do(ref, feed.VerbCopy, values)
	}}}
}

// forward asks which ports to forward.
func forward(ref object.Ref) []screen.Request {
	return []screen.Request{screen.Look{Ref: ref, Then: func(f feed.Facts) []screen.Request {
		port := widget.Field{Name: "port", Label: "Remote port", Hint: "port number or name"}
		if len(f.Ports) > 0 {
			port.Value = f.Ports[0]
		}
		if len(f.Ports) > 1 {
			port.Hint = "available: " + strings.Join(format.Few(f.Ports, 6), ", ")
		}
		form := widget.NewForm("Port-forward to "+ref.String(), []widget.Field{
			port, {Name: "local", Label: "Local port", Value: "0", Hint: "on 127.0.0.1; 0 picks a free port"},
		})
		return []screen.Request{screen.Fill{Form: form, Then: func(values map[string]string) []screen.Request {
			return Do(ref, feed.VerbForward, values)
		}}}
	}}}
}
