package settings

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func flagSet(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	flags := pflag.NewFlagSet("up", pflag.ContinueOnError)
	Flags(flags, cluster.Default())
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return flags
}

func TestPrecedenceIsFlagEnvironmentFileDefault(t *testing.T) {
	file, err := Parse("skiff.yaml", []byte("workers: 3\ncpus: 3\nmemory: 3Gi\nnetwork:\n  pods: 10.200.0.0/16\n"))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SKIFF_CPUS", "4")
	t.Setenv("SKIFF_MEMORY", "4Gi")
	t.Setenv("SKIFF_DISK", "")
	spec, err := Resolve(flagSet(t, "--memory", "5Gi"), file, cluster.Default())
	if err != nil {
		t.Fatal(err)
	}
	want := cluster.Default()
	want.Workers, want.CPUs, want.Memory = 3, 4, "5Gi"
	want.Network.Pods = netip.MustParsePrefix("10.200.0.0/16")
	if !spec.Same(want) {
		t.Errorf("got %+v\nwant %+v", spec, want)
	}
}

func TestAFlagWithItsDefaultValueOverridesTheFile(t *testing.T) {
	file, err := Parse("skiff.yaml", []byte("workers: 3"))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := Resolve(flagSet(t, "--workers", "2"), file, cluster.Default())
	if err != nil || spec.Workers != 2 {
		t.Errorf("workers %d, %v", spec.Workers, err)
	}
}

func TestErrorsNameTheEnvironmentVariable(t *testing.T) {
	t.Setenv("SKIFF_WORKERS", "two")
	_, err := Resolve(flagSet(t), File{}, cluster.Default())
	if err == nil || err.Error() != `SKIFF_WORKERS: "two" is not a whole number or a range such as 1..5` {
		t.Errorf("got %v", err)
	}
}

func TestFileErrorsNameTheLineAndTheNearestKey(t *testing.T) {
	for _, c := range []struct{ name, content, cause, hint string }{
		{"typo", "name: a\n\nwokers: 2\n", `skiff.yaml:3: unknown key "wokers"`, `did you mean "workers"?`},
		{"case", "controlplanes: 1\n", `skiff.yaml:1: unknown key "controlplanes"`, `did you mean "controlPlanes"?`},
		{"nested", "network:\n  pod: 10.0.0.0/8\n", `skiff.yaml:2: unknown key "pod"`, `did you mean "pods"?`},
		{"far", "kubernetesVersion: 1\n", `skiff.yaml:1: unknown key "kubernetesVersion"`, "valid keys are " + strings.Join(keys(""), ", ")},
		{"type", "workers: two\n", `skiff.yaml:1: workers: "two" is not a whole number or a range such as 1..5`, ""},
		{"float", "workers: 1.5\n", `skiff.yaml:1: workers: "1.5" is not a whole number or a range such as 1..5`, ""},
		{"huge", "workers: 99999999999\n", `skiff.yaml:1: workers: "99999999999" is not a whole number or a range such as 1..5`, ""},
		{"range", "workers: 1..x\n", `skiff.yaml:1: workers: "1..x" is not a range such as 1..5`, ""},
		{"range without maximum", "workers: {min: 1}\n", `skiff.yaml:1: workers: max is missing: use {min: 1, max: 5}`, ""},
		{"range with another key", "workers: {min: 1, maximum: 3}\n", `skiff.yaml:1: workers: unknown key "maximum": valid keys are min, max`, ""},
		{"range of fractions", "workers: {min: 1, max: 2.5}\n", `skiff.yaml:1: workers: max: 2.5 is not a whole number`, ""},
		{"range to zero", "workers: {min: 0, max: 0}\n", `skiff.yaml:1: workers: the maximum of "0..0" must be at least 1`, ""},
		{"null", "memory:\n", `skiff.yaml:1: memory: "" is not a string`, ""},
		{"list", "workers: [1, 2]\n", `skiff.yaml:1: workers must be a single value`, ""},
		{"no list", "mounts: a:/b\n", `skiff.yaml:1: mounts must be a list`, `such as "mounts: [VALUE, VALUE]"`},
		{"nested list", "mounts:\n- [a]\n", `skiff.yaml:2: items of mounts must be single values`, ""},
		{"empty item", "mounts:\n- a:/b\n- ''\n", `skiff.yaml:3: mounts: "" must be one line of text`, ""},
		{"two lines", "mounts: [\"a:/b\\nc:/d\"]\n", `skiff.yaml:1: mounts: "a:/b\nc:/d" must be one line of text`, ""},
		{"scalar network", "network: host\n", `skiff.yaml:1: network must be a mapping`, `such as "workers: 2"`},
		{"prefix", "network:\n  pods: here\n", `skiff.yaml:2: network.pods: "here" is not an address range such as 10.244.0.0/16`, ""},
		{"twice", "cpus: 1\ncpus: 2\n", `skiff.yaml:2: duplicate key "cpus"`, ""},
		{"not a mapping", "- a\n", `skiff.yaml:1: skiff.yaml must be a mapping`, `such as "workers: 2"`},
		{"two documents", "cpus: 1\n---\ncpus: 2\n", `skiff.yaml:2: more than one YAML document`, ""},
		{"tabs", "cpus:\n\t- 1\n", `skiff.yaml:2: invalid YAML: found character that cannot start any token`, ""},
		{"alias", "cpus: &a 1\nworkers: *a\n", `skiff.yaml:2: workers must be a single value`, ""},
		{"large", strings.Repeat("# padding\n", MaxFile/10+1), "skiff.yaml: larger than 64 KiB", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			file, err := Parse("skiff.yaml", []byte(c.content))
			if err == nil {
				_, err = Resolve(flagSet(t), file, cluster.Default())
			}
			var failure *daemonapi.Failure
			if !errors.As(err, &failure) {
				t.Fatalf("got %v", err)
			}
			if failure.Cause != c.cause || failure.Hint != c.hint || !failure.Invalid {
				t.Errorf("got  %q, hint %q, invalid %v\nwant %q, hint %q", failure.Cause, failure.Hint, failure.Invalid, c.cause, c.hint)
			}
		})
	}
}

func TestPathsOfMountsAreRelativeToTheFileOrTheDirectory(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	file, err := Parse("/home/me/app/skiff.yaml", []byte("mounts:\n- src:/src\n- ~/data:/data:ro\n- /abs:/abs\n"))
	if err != nil {
		t.Fatal(err)
	}
	base := cluster.Default()
	base.Mounts = []string{"/before:/x"}
	for _, c := range []struct {
		args []string
		file File
		want []string
	}{
		{nil, file, []string{"/home/me/app/src:/src", "/home/me/data:/data:ro", "/abs:/abs"}},
		{[]string{"--mount", "a,b:/src", "--mount", "../c:/c"}, file, []string{here + "/a,b:/src", filepath.Dir(here) + "/c:/c"}},
		{nil, File{}, []string{"/before:/x"}},
	} {
		spec, err := Resolve(flagSet(t, c.args...), c.file, base)
		if err != nil || !slices.Equal(spec.Mounts, c.want) {
			t.Errorf("%v: %v, %v, want %v", c.args, spec.Mounts, err, c.want)
		}
	}
}

func TestAnEmptyListReplacesTheDefault(t *testing.T) {
	file, err := Parse("skiff.yaml", []byte("mounts: []\n"))
	if err != nil {
		t.Fatal(err)
	}
	base := cluster.Default()
	base.Mounts = []string{"/before:/x"}
	if spec, err := Resolve(flagSet(t), file, base); err != nil || len(spec.Mounts) > 0 {
		t.Errorf("%v, %v", spec.Mounts, err)
	}
}

func TestEmptyFileSetsNothing(t *testing.T) {
	for _, content := range []string{"", "# nothing\n", "{}\n", "---\n"} {
		file, err := Parse("skiff.yaml", []byte(content))
		if err != nil {
			t.Fatalf("%q: %v", content, err)
		}
		spec, err := Resolve(flagSet(t), file, cluster.Default())
		if err != nil || !spec.Same(cluster.Default()) {
			t.Errorf("%q: %+v, %v", content, spec, err)
		}
	}
}

func TestBoundsAreThoseOfTheValidation(t *testing.T) {
	host := cluster.Host{CPUs: 1 << 20, MemoryMiB: 1 << 40, DiskFreeMiB: 1 << 40}
	valid := func(s Setting, value int) bool {
		spec := cluster.Default()
		spec.Network.Pods = netip.MustParsePrefix("10.0.0.0/12")
		if err := s.set(&spec, strconv.Itoa(value)); err != nil {
			t.Fatal(err)
		}
		for _, err := range cluster.Validate(spec, host, 0) {
			if strings.HasPrefix(strings.TrimPrefix(err.Error(), "invalid "), s.Key+" ") {
				return false
			}
		}
		return true
	}
	for _, s := range Table() {
		if s.Type != Integer {
			continue
		}
		if !valid(s, s.Minimum) || valid(s, s.Minimum-1) {
			t.Errorf("%s: the minimum is not %d", s.Key, s.Minimum)
		}
		if s.Maximum > 0 && (!valid(s, s.Maximum) || valid(s, s.Maximum+1)) {
			t.Errorf("%s: the maximum is not %d", s.Key, s.Maximum)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("name: a\nworkers: 2\nnetwork: {pods: 10.0.0.0/8}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("? {a: b}\n: c\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		file, err := Parse("skiff.yaml", content)
		if err == nil {
			_, err = Resolve(pflag.NewFlagSet("up", pflag.ContinueOnError), file, cluster.Default())
		}
		if err == nil {
			return
		}
		var failure *daemonapi.Failure
		if !errors.As(err, &failure) || !failure.Invalid {
			t.Fatalf("not a failure of the input: %v", err)
		}
	})
}

func TestTheRegistryIsOnUnlessItIsTurnedOff(t *testing.T) {
	for content, want := range map[string]cluster.Registry{
		"":                             {},
		"registry: {enabled: true}":    {},
		"registry: {enabled: false}":   {Disabled: true},
		"registry:\n  insecure: [a:1]": {Insecure: []string{"a:1"}},
		"registry:\n  mirrors:\n  - docker.io=https://a\n  - quay.io=https://b": {Mirrors: []string{"docker.io=https://a", "quay.io=https://b"}},
	} {
		file, err := Parse("skiff.yaml", []byte(content))
		if err != nil {
			t.Fatalf("%q: %v", content, err)
		}
		spec, err := Resolve(flagSet(t), file, cluster.Default())
		if err != nil || !reflect.DeepEqual(spec.Registry, want) {
			t.Errorf("%q: %+v, %v", content, spec.Registry, err)
		}
	}
	off := flagSet(t)
	if err := off.Parse([]string{"--registry=false", "--registry-mirror", "a=https://b", "--registry-mirror", "c=https://d"}); err != nil {
		t.Fatal(err)
	}
	spec, err := Resolve(off, File{}, cluster.Default())
	if err != nil || !spec.Registry.Disabled || len(spec.Registry.Mirrors) != 2 {
		t.Errorf("flags: %+v, %v", spec.Registry, err)
	}
	for content, want := range map[string]string{
		"registry: {enabled: 1}":    `skiff.yaml:1: registry.enabled: "1" is not true or false`,
		"registry: {enabled: off}":  `skiff.yaml:1: registry.enabled: "off" is not true or false`,
		"registry: {mirrors: true}": "skiff.yaml:1: registry.mirrors must be a list",
		"registry: true":            "skiff.yaml:1: registry must be a mapping",
	} {
		if _, err := Parse("skiff.yaml", []byte(content)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", content, err, want)
		}
	}
}

func TestThePathOfABundleIsRelativeToTheFileOrTheDirectory(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	base := cluster.Default()
	base.CABundle = "/before.pem"
	for _, c := range []struct {
		args          []string
		content, want string
	}{
		{nil, "caBundle: corp.pem", "/home/me/app/corp.pem"},
		{nil, "caBundle: ~/corp.pem", "/home/me/corp.pem"},
		{nil, "caBundle: /etc/../etc/corp.pem", "/etc/corp.pem"},
		{nil, `caBundle: ""`, ""},
		{nil, "", "/before.pem"},
		{[]string{"--ca-bundle", "../corp.pem"}, "caBundle: other.pem", filepath.Join(filepath.Dir(here), "corp.pem")},
	} {
		file, err := Parse("/home/me/app/skiff.yaml", []byte(c.content))
		if err != nil {
			t.Fatal(err)
		}
		if spec, err := Resolve(flagSet(t, c.args...), file, base); err != nil || spec.CABundle != c.want {
			t.Errorf("%v %s: %q, %v, want %q", c.args, c.content, spec.CABundle, err, c.want)
		}
	}
}

func TestTheVersionOfKubernetesHasAShortForm(t *testing.T) {
	for content, want := range map[string]string{
		"":                              "",
		`kubernetes: "1.35"`:            "1.35",
		"kubernetes: 1.30":              "1.30", // not the number 1.3
		"kubernetes:\n  version: 1.35":  "1.35",
		"kubernetes: {kubelet: {}}":     "",
		`kubernetes: {version: ""}`:     "",
		"kubernetes: {version: '1.35'}": "1.35",
	} {
		file, err := Parse("skiff.yaml", []byte(content))
		if err != nil {
			t.Fatalf("%q: %v", content, err)
		}
		spec, err := Resolve(flagSet(t), file, cluster.Default())
		if err != nil || spec.KubernetesVersion != want {
			t.Errorf("%q: %q, %v, want %q", content, spec.KubernetesVersion, err, want)
		}
	}
	for content, want := range map[string]string{
		"kubernetes: [1.35]":          "skiff.yaml:1: kubernetes must be a mapping",
		"kubernetes: true":            `skiff.yaml:1: kubernetes.version: "true" is not a string`,
		"kubernetes: {version: [1]}":  "skiff.yaml:1: kubernetes.version must be a single value",
		"kubernetes: {versions: 1.3}": `skiff.yaml:1: unknown key "versions"`,
		"network: 1.35":               "skiff.yaml:1: network must be a mapping",
	} {
		if _, err := Parse("skiff.yaml", []byte(content)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", content, err, want)
		}
	}
	file, err := Parse("skiff.yaml", []byte("kubernetes: 1.35"))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SKIFF_KUBERNETES", "1.36")
	if spec, err := Resolve(flagSet(t), file, cluster.Default()); err != nil || spec.KubernetesVersion != "1.36" {
		t.Errorf("environment: %q, %v", spec.KubernetesVersion, err)
	}
	if spec, err := Resolve(flagSet(t, "--kubernetes", "1.37"), file, cluster.Default()); err != nil || spec.KubernetesVersion != "1.37" {
		t.Errorf("flag: %q, %v", spec.KubernetesVersion, err)
	}
}

func TestAFileThatASettingNamesHasOneObject(t *testing.T) {
	path := filepath.Join(t.TempDir(), "document.yaml")
	for content, want := range map[string]string{
		`{"a": 1}`:        "",
		"a: [1, x]\n":     "",
		"":                "it is empty",
		"{}":              "it is empty",
		"a: 1\n---\nb: 2": "it has more than one YAML document",
		"[":               "invalid YAML: line 1: did not find expected node content",
		"1: {2: 3}":       "invalid YAML: keys must be strings",
		"text":            "it must be a mapping",
		strings.Repeat("# padding\n", MaxFile/10+1): "larger than 64 KiB",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got := ""
		if _, err := readDocument(path); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%.20q: %q, want %q", content, got, want)
		}
	}
}

func TestTheShellCompletesValues(t *testing.T) {
	cmd := &cobra.Command{Use: "up"}
	Flags(cmd.Flags(), cluster.Default())
	Complete(cmd)
	for flag, want := range map[string]string{"runtime": "crun gvisor", "ip-family": "ipv4 dual", "workers": ""} {
		var got []string
		if complete, ok := cmd.GetFlagCompletionFunc(flag); ok {
			values, _ := complete(cmd, nil, "")
			got = values
		}
		if strings.Join(got, " ") != want {
			t.Errorf("--%s: %q, want %q", flag, got, want)
		}
	}
}
