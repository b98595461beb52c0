package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/skiff-dev/skiff/kube"
	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// draft is a manifest and its edited text.
type draft struct{ original, text string }

// maxVersions is how often an object may change while its edit is applied.
const maxVersions = 5

// settle applies an edited manifest. If others have changed the object in the meantime,
// it shows what they changed and asks what to do. It returns another draft if the user
// wants to continue editing, and an empty one otherwise.
func (c Client) settle(ctx context.Context, ref object.Ref, d draft, in io.Reader, out io.Writer) (draft, error) {
	for range maxVersions {
		err := c.ApplyEdit(ctx, ref, d.original, d.text)
		if !kube.Outdated(err) {
			return draft{}, err
		}
		current, err := c.Manifest(ctx, ref)
		if err != nil {
			return draft{}, err
		}
		merged, err := kube.Merge(d.original, d.text, current)
		if err != nil {
			return draft{}, err
		}
		answer := applyBoth
		if merged.Diff != "" {
			if answer, err = decide(ref, merged.Diff, in, out); err != nil {
				return draft{}, err
			}
		}
		switch answer {
		case applyBoth:
			d = draft{current, merged.Manifest}
		case overwrite:
			text, err := kube.Overwrite(d.text, current)
			if err != nil {
				return draft{}, err
			}
			d = draft{current, text}
		case editBoth:
			return draft{current, merged.Manifest}, nil
		default:
			return draft{}, feed.ErrUnchanged
		}
	}
	return draft{}, errors.New("the object changes too often; try again")
}

// Answers to what to do about changes of others.
const (
	applyBoth = "a"
	editBoth  = "e"
	overwrite = "o"
	cancel    = "c"
)

// decide shows what others have changed, and asks what to do. The end of the input
// cancels.
func decide(ref object.Ref, diff string, in io.Reader, out io.Writer) (string, error) {
	fmt.Fprintf(out, "\n%s was changed while you edited it:\n\n%s\n", ref, safe(diff))
	for {
		fmt.Fprint(out, "[a] apply your changes to the new version  [e] edit them in it  [o] overwrite it  [c] cancel: ")
		line, err := readLine(in)
		switch answer := strings.ToLower(strings.TrimSpace(line)); {
		case answer == applyBoth, answer == editBoth, answer == overwrite, answer == cancel:
			return answer, nil
		case errors.Is(err, io.EOF):
			return cancel, nil
		case err != nil:
			return "", err
		}
	}
}

// readLine reads to the end of a line and no further, because the dashboard reads the
// rest.
func readLine(in io.Reader) (string, error) {
	var line strings.Builder
	one := make([]byte, 1)
	for line.Len() < 1024 {
		n, err := in.Read(one)
		if n == 1 && (one[0] == '\n' || one[0] == '\r') {
			return line.String(), nil
		}
		line.Write(one[:n])
		if err != nil {
			return line.String(), err
		}
	}
	return line.String(), nil
}

// safe removes control characters from text of other users, which a terminal would take
// for commands.
func safe(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && unicode.IsControl(r) {
			return -1
		}
		return r
	}, text)
}
