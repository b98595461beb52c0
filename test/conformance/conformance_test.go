package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"

	"github.com/skiff-dev/skiff/images/oci"
	"github.com/skiff-dev/skiff/internal/kubenames"
)

func all() []string {
	names, err := conformanceTests(kubenames.Default)
	if err != nil {
		panic(err)
	}
	return names
}

func TestTheListsHaveEveryConformanceTest(t *testing.T) {
	for _, version := range kubenames.Versions() {
		names, err := conformanceTests(version)
		if err != nil || len(names) < 400 {
			t.Errorf("%s: %d names, %v", version, len(names), err)
		}
	}
	if _, err := conformanceTests("1.12"); err == nil {
		t.Error("an unknown version has tests")
	}
}

func TestCoreCoversEverySIGWithoutSerialTests(t *testing.T) {
	sigs := map[string]bool{}
	for _, name := range all() {
		sig, _, _ := strings.Cut(name, "]")
		sigs[sig] = false
	}
	chosen := core(all())
	for _, name := range chosen {
		sig, _, _ := strings.Cut(name, "]")
		sigs[sig] = true
		if strings.Contains(name, serial) {
			t.Errorf("%s is serial", name)
		}
	}
	for sig, covered := range sigs {
		if !covered {
			t.Errorf("the core has no test of %s", sig)
		}
	}
	if len(chosen) > 120 {
		t.Errorf("the core has %d tests, want at most 120", len(chosen))
	}
	p, err := parts(options{core: true, procs: 8}, all())
	if err != nil {
		t.Fatal(err)
	}
	if focus := p[0].focus[0]; !regexp.MustCompile(focus).MatchString(chosen[len(chosen)-1]) {
		t.Error("the focus does not match what was chosen")
	}
}

func TestSerialTestsRunAlone(t *testing.T) {
	p, err := parts(options{procs: 8, skip: "x"}, all())
	if err != nil {
		t.Fatal(err)
	}
	if len(p) != 2 || p[0].procs != 8 || p[0].labels != "!Serial" || p[1].procs != 1 || p[1].labels != "Serial" {
		t.Errorf("%+v", p)
	}
}

func TestSuiteCountsWhatItLeavesOut(t *testing.T) {
	names := []string{
		"[sig-storage] works",
		"[sig-storage] alone [Serial]",
		"[sig-storage] In-tree Volumes [Driver: nfs3] mounts",
		"[sig-storage] In-tree Volumes [Driver: local] [LocalVolumeType: dir] [Testpattern: Pre-provisioned PV (default fs)] mounts",
		"[sig-storage] In-tree Volumes [Driver: local] [LocalVolumeType: dir] [Testpattern: Pre-provisioned PV (ext4)] mounts",
		"[sig-storage] In-tree Volumes [Driver: local] [LocalVolumeType: block] [Testpattern: Pre-provisioned PV (ext4)] mounts",
		"[sig-storage] In-tree Volumes [Driver: hostPath] [Testpattern: Inline-volume (default fs)] mounts",
		"[sig-storage] In-tree Volumes [Driver: hostPath] [Testpattern: Dynamic PV (default fs)] mounts",
		"External Storage [Driver: skiff-local] [Testpattern: Dynamic PV (default fs)] mounts",
		"External Storage [Driver: skiff-local] [Testpattern: Dynamic PV (block volmode)] multiVolume [Slow] mounts",
		"External Storage [Driver: skiff-local] [Testpattern: Dynamic PV (block volmode)] volumeMode should fail in binding",
		"[sig-storage] later [Feature:OffByDefault]",
		"[sig-apps] works",
	}
	s, err := findSuite("storage")
	if err != nil {
		t.Fatal(err)
	}
	for driver, want := range map[string]selection{sandbox: {parallel: 5, serial: 1}, "lima": {parallel: 6, serial: 1}} {
		chosen := s.choose(names, driver)
		left := 0
		for _, n := range chosen.without {
			left += n
		}
		// The last name belongs to another suite.
		if chosen.parallel != want.parallel || chosen.serial != want.serial || left != len(names)-1-want.parallel-want.serial {
			t.Errorf("%s: %+v", driver, chosen)
		}
	}
	for _, s := range suites {
		for _, e := range s.exclusions(sandbox) {
			if e.reason == "" {
				t.Errorf("%s leaves out %s without a reason", s.name, e.pattern)
			}
		}
		if (s.needs == "") != (len(s.probe) == 0) {
			t.Errorf("%s must have both needs and probe, or neither", s.name)
		}
	}
}

func TestTheE2ESuiteIsUpstreamsJob(t *testing.T) {
	s, err := findSuite("e2e")
	if err != nil {
		t.Fatal(err)
	}
	job := []string{
		"[sig-apps] works [Conformance]",
		"[sig-apps] works",
		"[sig-node] works [FeatureGate:A] [Beta]",
		"[sig-node] works alone [Serial]",
		"[sig-storage] In-tree Volumes [Driver: hostPath] [Testpattern: Inline-volume (default fs)] mounts",
	}
	out := []string{
		"[sig-apps] takes minutes [Slow] [Conformance]",
		"[sig-node] breaks [Disruptive]",
		"[sig-node] fails [Flaky]",
		"[sig-network] LoadBalancers [Feature:LoadBalancer] works",
		"[sig-node] works [FeatureGate:B] [Alpha] [Feature:OffByDefault]",
		"External Storage [Driver: skiff-local] [Testpattern: Dynamic PV (default fs)] mounts",
	}
	for _, name := range job {
		if got := s.choose([]string{name}, sandbox); got.parallel+got.serial != 1 {
			t.Errorf("%s is left out", name)
		}
	}
	if got := s.choose(out, sandbox); got.parallel+got.serial != 0 {
		t.Errorf("%+v of what upstream's job leaves out", got)
	}
}

func TestSchedulableNodesAreCounted(t *testing.T) {
	n, err := countSchedulable([]byte(`{"items":[
		{"spec":{"taints":[{"key":"node-role.kubernetes.io/control-plane","effect":"NoSchedule"}]}},
		{"spec":{"unschedulable":true}},
		{"spec":{}}, {"spec":{"podCIDR":"10.244.1.0/24"}}]}`))
	if err != nil || n != 2 {
		t.Errorf("%d nodes, %v", n, err)
	}
	if _, err := countSchedulable([]byte("Error from server")); err == nil {
		t.Error("what is not a list is accepted")
	}
}

func TestACapabilityIsFoundInAProcessesStatus(t *testing.T) {
	for status, want := range map[string]bool{
		"Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t000001ffffffffff\n": true,
		"CapEff:\t000001fffeffffff\n":                                      false,
		"CapEff:\tnone\n":                                                  false,
		"":                                                                 false,
	} {
		if got := hasCapability(status, capSysResource); got != want {
			t.Errorf("%q: %t", status, got)
		}
	}
}

func TestAKubeconfigCanLeadToANode(t *testing.T) {
	const config = "clusters:\n- cluster:\n    certificate-authority-data: eA==\n    server: https://127.0.0.1:38527\n  name: skiff\n"
	want := strings.Replace(config, "127.0.0.1:38527", "192.168.104.3:6443", 1)
	if got := string(redirect([]byte(config), "192.168.104.3")); got != want {
		t.Errorf("%s", got)
	}
}

func TestAFocusNarrowsASuite(t *testing.T) {
	names := []string{"[sig-apps] Job runs", "[sig-apps] CronJob", "[sig-apps] Deployment", "[sig-node] Job", "A Job of [sig-apps]"}
	// A name that the suite's expression matches at the same position is the same test.
	for _, focus := range []string{"Job", `\[sig-apps\].*Job|Job of \[sig-apps`} {
		p, err := parts(options{suite: "apps", focus: focus, procs: 8}, names)
		if err != nil {
			t.Fatal(err)
		}
		matches := regexp.MustCompile(p[0].focus[0])
		for i, want := range []bool{true, true, false, false, true} {
			if matches.MatchString(names[i]) != want {
				t.Errorf("%s: %q: %v", focus, names[i], !want)
			}
		}
	}
	for _, focus := range []string{"StatefulSet", "("} {
		if _, err := parts(options{suite: "apps", focus: focus}, names); err == nil {
			t.Errorf("focus %s is accepted", focus)
		}
	}
}

func TestNoExpressionIsLongerThanAnArgument(t *testing.T) {
	names := make([]string, 1000)
	for i := range names {
		names[i] = strings.Repeat("[sig-storage] ", 20)
	}
	focus := alternatives(names)
	for _, one := range focus {
		if len(one) >= 128<<10 {
			t.Errorf("%d bytes", len(one))
		}
	}
	if got := strings.Count(strings.Join(focus, "|"), "|") + 1; got != len(names) {
		t.Errorf("%d names of %d", got, len(names))
	}
}

func TestASuiteThatIsNoneIsRefused(t *testing.T) {
	if _, err := parts(options{suite: "cloud"}, all()); err == nil {
		t.Error("it is taken")
	}
}

// required returns the module versions in a go.mod, which are those of its replacements if
// it has any.
func required(t *testing.T, path string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := modfile.Parse(path, content, nil)
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, r := range file.Require {
		if r.Mod.Version != "v0.0.0" {
			versions[r.Mod.Path] = r.Mod.Version
		}
	}
	for _, r := range file.Replace {
		if r.New.Version != "" {
			versions[r.Old.Path] = r.New.Version
		}
	}
	return versions
}

// A package compiled against another version of a library is compiled again, so a
// cold build of the tests would take twice as long.
func TestTheTestProgramSharesWhatIsCompiledForUs(t *testing.T) {
	for _, version := range kubenames.Versions() {
		program, suite := "../../versions/"+version+".mod", "suite/"+version+".mod"
		if version == kubenames.Default {
			program, suite = "../../go.mod", "suite/go.mod"
		}
		ours, theirs := required(t, program), required(t, suite)
		shared := 0
		for module, version := range theirs {
			if ours[module] == "" {
				continue
			}
			if shared++; ours[module] != version {
				t.Errorf("%s requires %s %s, %s requires %s", suite, module, version, program, ours[module])
			}
		}
		if shared < 50 {
			t.Errorf("%s and %s share only %d modules", suite, program, shared)
		}
	}
}

const junit = `<testsuites><testsuite>
<testcase name="[ReportBeforeSuite]" status="passed" time="0.1"></testcase>
<testcase name="[SynchronizedBeforeSuite]" status="failed" time="0.1"></testcase>
<testcase name="[It] [sig-a] works [Conformance]" status="passed" time="2"></testcase>
<testcase name="[It] [sig-a] breaks [Conformance]" status="timedout" time="3"></testcase>
<testcase name="[It] [sig-a] needs a cloud [Feature:X]" status="skipped" time="0.5"><skipped message="skipped - no cloud"></skipped></testcase>
<testcase name="[It] [sig-b] not chosen" status="skipped" time="0"></testcase>
</testsuite></testsuites>`

func TestSummaryCountsWhatRan(t *testing.T) {
	cases, err := parse([]byte(junit))
	if err != nil {
		t.Fatal(err)
	}
	s := sum(cases)
	if s.Passed != 1 || s.Failed != 2 || s.Skipped != 1 {
		t.Errorf("%+v", s)
	}
	if want := []string{"[SynchronizedBeforeSuite]", "[sig-a] breaks [Conformance]"}; !slices.Equal(s.Failures, want) {
		t.Errorf("%q", s.Failures)
	}
	if s.Seconds["[sig-a] works [Conformance]"] != 2 || s.Skips["[sig-a] needs a cloud [Feature:X]"] != "no cloud" {
		t.Errorf("%+v", s)
	}
	s.expect([]string{"[sig-a] works [Conformance]", "[sig-c] absent [Conformance]"})
	if s.Skipped != 2 {
		t.Errorf("a test that did not run is not counted: %+v", s)
	}
	var out strings.Builder
	s.print(&out)
	if want := "failed: [SynchronizedBeforeSuite]\nfailed: [sig-a] breaks [Conformance]\nskipped: 1: did not run\nskipped: 1: no cloud\n1 passed, 2 failed, 2 skipped\n"; out.String() != want {
		t.Errorf("%s", out.String())
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(junit))
	f.Fuzz(func(_ *testing.T, content []byte) {
		if cases, err := parse(content); err == nil {
			sum(cases)
		}
	})
}

func TestRegistryAnswersPullsOfAnArchive(t *testing.T) {
	var content bytes.Buffer
	err := oci.Write(&content, oci.Image{Name: "registry.k8s.io/a/b:1", Arch: "amd64", Layers: [][]byte{[]byte("layer")}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "b.tar")
	if err := os.WriteFile(file, content.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &registry{archive: file, tags: map[string]string{}, blobs: map[string]blob{}}
	if err := r.index(); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(r.answer))
	defer server.Close()
	get := func(path string) (int, string, string) {
		response, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, response.Header.Get("Content-Type"), string(body)
	}
	code, kind, manifest := get("/v2/a/b/manifests/1")
	if code != 200 || !strings.Contains(kind, "manifest") {
		t.Fatalf("%d %s %s", code, kind, manifest)
	}
	digest := regexp.MustCompile(`layer.*"digest":"(sha256:[0-9a-f]+)"`).FindStringSubmatch(manifest)
	if digest == nil {
		t.Fatalf("no layer in %s", manifest)
	}
	if code, _, body := get("/v2/a/b/blobs/" + digest[1]); code != 200 || body != "layer" {
		t.Errorf("%d %q", code, body)
	}
	if code, _, _ := get("/v2/a/b/manifests/2"); code != 404 {
		t.Errorf("missing tag: status %d", code)
	}
}
