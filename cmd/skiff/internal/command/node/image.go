package node

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/internal/kubenames"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/image"
	"github.com/skiff-dev/skiff/vm/image/cve"
)

// trackerLimit bounds the download of the security tracker's data.
const trackerLimit = 5 * time.Minute

// nodeImage is a node image for users.
type nodeImage struct {
	Digest     string `json:"digest"`
	Kubernetes string `json:"kubernetes"`
	Arch       string `json:"arch"`
	Kernel     string `json:"kernel"`
	// Debian is the code name of the release that Packages are from; empty if it is unknown.
	Debian   string             `json:"debian"`
	Packages []manifest.Package `json:"packages"`
	// Vulnerabilities is nil unless it was asked for.
	Vulnerabilities *cve.Report `json:"vulnerabilities,omitempty"`
}

func newImage(s cli.Streams) *cobra.Command {
	var version, tracker string
	var compare bool
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Show the packages of the node image and their known vulnerabilities",
		Long: `Show what the image that new nodes boot is made of: its kernel and Debian packages.

--cve compares the packages with the data of Debian's security tracker, which
is downloaded for this. On a machine without access to it, pass a copy of
` + cve.Tracker + ` with --tracker.
Go programs in the image are not compared: govulncheck -mode binary does that.`,
		Example: `  # List kernel and packages
  skiff node image

  # List known vulnerabilities of the image for Kubernetes 1.35
  skiff node image --kubernetes 1.35 --cve`,
		Args: cli.Arguments(0, 0),
	}
	cmd.Flags().StringVar(&version, "kubernetes", "", "minor `version` of Kubernetes, such as "+kubenames.Default+"; by default that of new clusters")
	cmd.Flags().BoolVar(&compare, "cve", false, "list the packages' known vulnerabilities")
	cmd.Flags().StringVar(&tracker, "tracker", cve.Tracker, "URL or `file` with the security tracker's data, for --cve")
	_ = cmd.RegisterFlagCompletionFunc("kubernetes", cobra.FixedCompletions(kubenames.Versions(), cobra.ShellCompDirectiveNoFileComp))
	asJSON := cli.Output(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("kubernetes") && !manifest.IsMinor(version) {
			return cli.Invalid("", "invalid --kubernetes %q: use a minor version such as %s", version, kubenames.Default)
		}
		if cmd.Flags().Changed("tracker") && !compare {
			return cli.Invalid("add --cve", "--tracker has no effect without --cve")
		}
		m, err := readImage(version)
		if err != nil {
			return err
		}
		shown := nodeImage{Digest: m.Digest, Kubernetes: m.Kubernetes, Arch: m.Arch, Kernel: m.KernelRelease, Debian: m.Debian, Packages: m.Packages}
		if compare {
			report, err := vulnerabilities(cmd.Context(), tracker, m)
			if err != nil {
				return err
			}
			shown.Vulnerabilities = &report
		}
		if inJSON {
			return s.JSON(shown)
		}
		return shown.print(s)
	}
	return cmd
}

func readImage(version string) (manifest.Manifest, error) {
	dir, err := target.ImageDir()
	if err != nil {
		return manifest.Manifest{}, err
	}
	found, err := image.Find(dir, version)
	if err != nil {
		return manifest.Manifest{}, &daemonapi.Failure{Cause: err.Error(), Hint: `run "skiff version --available" for the images there are`}
	}
	return manifest.Read(filepath.Dir(found.Root))
}

// vulnerabilities compares an image with the tracker's data at a URL or in a file.
func vulnerabilities(ctx context.Context, tracker string, m manifest.Manifest) (cve.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, trackerLimit)
	defer cancel()
	data, err := openTracker(ctx, tracker)
	if err != nil {
		return cve.Report{}, &daemonapi.Failure{
			Cause: "get the security tracker's data: " + err.Error(),
			Hint:  "download " + cve.Tracker + " where that is possible, and pass the file with --tracker",
		}
	}
	defer data.Close()
	return cve.Compare(data, m)
}

// openTracker opens a URL or a file. The caller closes it.
func openTracker(ctx context.Context, at string) (io.ReadCloser, error) {
	if !strings.HasPrefix(at, "https://") && !strings.HasPrefix(at, "http://") {
		return os.Open(at)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("%s answered %s", at, response.Status)
	}
	return response.Body, nil
}

func (i nodeImage) print(s cli.Streams) error {
	out := s.Text()
	fmt.Fprintf(out, "node image %s for %s\nKubernetes %s, kernel %s", i.Digest, i.Arch, i.Kubernetes, i.Kernel)
	if i.Debian != "" {
		fmt.Fprintf(out, ", Debian %s: %s", i.Debian, cli.Count(len(i.Packages), "package"))
	}
	fmt.Fprint(out, "\n\n")
	if i.Vulnerabilities == nil {
		rows := [][]string{{"PACKAGE", "VERSION"}}
		for _, p := range i.Packages {
			rows = append(rows, []string{p.Name, p.Version})
		}
		return s.Table(rows)
	}
	rows := [][]string{{"VULNERABILITY", "SOURCE", "VERSION", "FIXED IN", "URGENCY"}}
	for _, f := range i.Vulnerabilities.Findings {
		fixed := f.Fixed
		if fixed == "" {
			fixed = "-"
		}
		rows = append(rows, []string{f.CVE, f.Source, f.Version, fixed, f.Urgency})
	}
	if len(rows) > 1 {
		if err := s.Table(rows); err != nil {
			return err
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintln(out, summary(*i.Vulnerabilities))
	return nil
}

// summary returns how many vulnerabilities there are and what to do.
func summary(r cve.Report) string {
	text := "no known vulnerabilities"
	if n := len(r.Findings); n > 0 {
		text = fmt.Sprintf("%d known vulnerabilities, %d of them fixed in newer packages", n, r.Fixed())
	}
	if r.Unimportant > 0 {
		text += fmt.Sprintf("; %d that Debian considers unimportant are not listed", r.Unimportant)
	}
	if r.Fixed() > 0 {
		text += "\nget a newer image with a newer release of skiff, or build one with \"make image UPDATE=1\", and run \"skiff upgrade\""
	}
	return text
}
