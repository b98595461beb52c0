package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/object"
)

// maxEdited bounds an edited document, in bytes.
const maxEdited = 4 << 20

// edit opens an object in the person's editor and applies what changed. When
// the server refuses it, the editor opens again with the error on top, until
// it is accepted or left without a change.
func (c *Client) edit(ctx context.Context, ref object.Ref, in io.Reader, out io.Writer) error {
	o, err := c.at(ref).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	original, err := document(o, true)
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
		if err = c.applyEdit(ctx, ref, original, edited); err == nil {
			return nil
		}
		if ctx.Err() != nil || errors.Is(err, feed.ErrUnchanged) {
			return err
		}
		text, problem = edited, Reason(err)
	}
}

// applyEdit sends what differs between both documents.
func (c *Client) applyEdit(ctx context.Context, ref object.Ref, original, edited string) error {
	before, err := yaml.YAMLToJSON([]byte(original))
	if err != nil {
		return err
	}
	after, err := yaml.YAMLToJSONStrict([]byte(edited))
	if err != nil {
		return fmt.Errorf("invalid YAML: %w", err)
	}
	patch, err := jsonpatch.CreateMergePatch(before, after)
	if err != nil {
		return fmt.Errorf("compare with the original: %w", err)
	}
	if bytes.Equal(bytes.TrimSpace(patch), []byte("{}")) {
		return feed.ErrUnchanged
	}
	_, err = c.at(ref).Patch(ctx, ref.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: c.config.UserAgent})
	return err
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

// runEditor opens a file of mode 0600 in $VISUAL or $EDITOR and reads it back.
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
	words := editor()
	cmd := exec.CommandContext(ctx, words[0], append(words[1:], file.Name())...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w (set EDITOR to use another editor)", words[0], err)
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

// editor is the person's own, with its arguments.
func editor() []string {
	for _, name := range []string{"SKIFF_EDITOR", "KUBE_EDITOR", "VISUAL", "EDITOR"} {
		if words := strings.Fields(os.Getenv(name)); len(words) > 0 {
			return words
		}
	}
	for _, name := range []string{"nano", "vim", "vi"} {
		if _, err := exec.LookPath(name); err == nil {
			return []string{name}
		}
	}
	return []string{"vi"}
}
