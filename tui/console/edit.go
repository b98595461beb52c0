package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/skiff-dev/skiff/kube"
	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// maxEdited bounds an edited document, in bytes.
const maxEdited = 4 << 20

// edit opens an object in the user's editor and applies the changes. If the
// server rejects them, the editor opens again with the error at the top, until
// the changes are accepted or the user closes it without a change. If others
// have changed the object in the meantime, the user decides what to do.
func (c Client) edit(ctx context.Context, ref object.Ref, in io.Reader, out io.Writer) error {
	original, err := c.Manifest(ctx, ref)
	if err != nil {
		return err
	}
	text, problem := original, ""
	for {
		edited, err := runEditor(ctx, ref, heading(ref, problem)+text, in, out)
		if err != nil {
			return err
		}
		edited = withoutHeading(edited)
		if strings.TrimSpace(edited) == "" || edited == text {
			if problem != "" {
				return fmt.Errorf("edit cancelled, the last change was rejected: %s", problem)
			}
			return feed.ErrUnchanged
		}
		next, err := c.settle(ctx, ref, draft{original, edited}, in, out)
		switch {
		case next != draft{}:
			original, text, problem = next.original, next.text, ""
		case err == nil:
			return nil
		case ctx.Err() != nil, errors.Is(err, feed.ErrUnchanged):
			return err
		default:
			text, problem = edited, kube.Reason(err)
		}
	}
}

const headingEnd = "# ---- Edit the object below. Everything above this line is ignored. ----\n"

func heading(ref object.Ref, problem string) string {
	text := fmt.Sprintf("# %s\n# To cancel, leave the object unchanged and close the editor.\n", ref)
	if problem != "" {
		text += "#\n# The change was rejected:\n#   " + problem + "\n#\n"
	}
	return text + headingEnd
}

func withoutHeading(text string) string {
	if _, rest, ok := strings.Cut(text, headingEnd); ok {
		return rest
	}
	return text
}

// runEditor opens text in the user's editor and returns the result. The
// temporary file has mode 0600.
func runEditor(ctx context.Context, ref object.Ref, text string, in io.Reader, out io.Writer) (string, error) {
	file, err := os.CreateTemp("", "skiff-"+ref.Resource.Singular+"-*.yaml")
	if err != nil {
		return "", fmt.Errorf("create a temporary file: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }()
	if _, err := file.WriteString(text); err != nil {
		return "", errors.Join(err, file.Close())
	}
	if err := file.Close(); err != nil {
		return "", err
	}
	command := editor()
	cmd := exec.CommandContext(ctx, command[0], append(command[1:], file.Name())...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w (set EDITOR to use another editor)", command[0], err)
	}
	content, err := os.ReadFile(file.Name())
	if err != nil {
		return "", err
	}
	if len(content) > maxEdited {
		return "", fmt.Errorf("the edited file is larger than %d MiB", maxEdited>>20)
	}
	return string(content), nil
}

// editor returns the user's editor with its arguments.
func editor() []string {
	for _, name := range []string{"SKIFF_EDITOR", "KUBE_EDITOR", "VISUAL", "EDITOR"} {
		if command := strings.Fields(os.Getenv(name)); len(command) > 0 {
			return command
		}
	}
	for _, name := range []string{"nano", "vim", "vi"} {
		if _, err := exec.LookPath(name); err == nil {
			return []string{name}
		}
	}
	return []string{"vi"}
}
