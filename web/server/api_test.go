package server

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/skiff-dev/skiff/kube"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func impersonate(user string, groups ...string) func(*clientcmdapi.AuthInfo) {
	return func(u *clientcmdapi.AuthInfo) { u.Impersonate, u.ImpersonateGroups = user, groups }
}

func TestTheSessionNamesItsUser(t *testing.T) {
	r := newRig(t)
	b := r.login("jane")
	var session struct {
		Cluster, User, CSRF, Version, Expires string
		Groups                                []string
	}
	b.read(b.ask(http.MethodGet, "/api/session", "", nil), &session)
	if session.Cluster != "first" || session.User != "jane" || session.Version != "v1.2.3" || len(session.CSRF) < 43 || session.Expires == "" || !slices.Equal(session.Groups, []string{"system:authenticated"}) {
		t.Errorf("got %+v", session)
	}
}

func TestOnlyAnAdministratorSeesOtherClusters(t *testing.T) {
	r := newRig(t)
	for user, want := range map[string][]listed{
		"admin": {{"first", "healthy", 3, true}, {"second", "stopped", 0, false}}, "jane": {{"first", "healthy", 3, true}},
	} {
		b := r.login(user)
		var got []listed
		b.read(b.ask(http.MethodGet, "/api/clusters", "", nil), &got)
		if !slices.Equal(got, want) {
			t.Errorf("%s sees %+v", user, got)
		}
		opened := b.ask(http.MethodPost, "/api/clusters/second/open", "", nil).StatusCode
		if (opened == http.StatusOK) != (user == "admin") {
			t.Errorf("%s opens another cluster: %d", user, opened)
		}
	}
	b := r.login("admin")
	if response := b.ask(http.MethodPost, "/api/clusters/none/open", "", nil); response.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown cluster: %s", response.Status)
	}
	if got := r.opened(); !slices.Equal(got, []string{"second"}) {
		t.Errorf("links to %v", got)
	}
}

func TestMachinesAndServicesNeedRightsInTheWholeCluster(t *testing.T) {
	r := newRig(t)
	admin, jane := r.login("admin"), r.login("jane")
	var all, some daemonapi.ClusterStatus
	admin.read(admin.ask(http.MethodGet, "/api/status", "", nil), &all)
	jane.read(jane.ask(http.MethodGet, "/api/status", "", nil), &some)
	if len(all.Nodes) != 1 || len(all.Problems) != 1 || len(some.Nodes)+len(some.Problems) > 0 || some.Phase != "running" || some.Name != "first" {
		t.Errorf("admin: %+v\njane: %+v", all, some)
	}
	if response := jane.ask(http.MethodGet, "/api/services", "", nil); response.StatusCode != http.StatusForbidden {
		t.Errorf("jane: services: %s", response.Status)
	}
}

func TestQueriesReachTheDaemonAsData(t *testing.T) {
	r := newRig(t)
	admin := r.login("admin")
	response := admin.ask(http.MethodGet, "/api/metrics/api/v1/echo?query=up", "", nil)
	if got := text(t, response); got != `GET up cookie=""` || response.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("%s: %q as %q", response.Status, got, response.Header.Get("Content-Type"))
	}
	form := admin.ask(http.MethodPost, "/api/metrics/api/v1/echo", "query=sum", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
	if got := text(t, form); got != `POST sum cookie=""` {
		t.Errorf("%s: %q", form.Status, got)
	}
	var failure problem
	missing := admin.ask(http.MethodGet, "/api/logs/select/logsql/none?query=*", "", nil)
	if err := json.Unmarshal([]byte(text(t, missing)), &failure); err != nil || missing.StatusCode != http.StatusNotFound || failure.Error == "" {
		t.Errorf("a store that does not exist: %s, %+v", missing.Status, failure)
	}
}

func TestAssetsAreCompressedAndNeverChange(t *testing.T) {
	r := newRig(t)
	r.link("jane")
	zipped := r.send(http.MethodGet, "/assets/main-X.js", "", http.Header{"Accept-Encoding": {"gzip, deflate"}})
	if zipped.Header.Get("Content-Encoding") != "gzip" || zipped.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || !strings.Contains(zipped.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("header: %v", zipped.Header)
	}
	plain := r.send(http.MethodGet, "/assets/main-X.js", "", nil)
	if got := text(t, plain); got != "console.log(1)" || plain.Header.Get("Content-Encoding") != "" {
		t.Errorf("got %q", got)
	}
	for _, target := range []string{"/assets/none.js", "/assets/", "/assets/main-X.js.gz", "/assets/index.html"} {
		if response := r.send(http.MethodGet, target, "", nil); response.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", target, response.Status)
		}
	}
	for _, target := range []string{"/", "/pods/shop/web", "/index.html"} {
		response := r.send(http.MethodGet, target, "", nil)
		if got := text(t, response); response.StatusCode != http.StatusOK || !strings.HasPrefix(got, "<!doctype html>") {
			t.Errorf("%s: %s, %q", target, response.Status, got)
		}
	}
	if response := r.send(http.MethodPost, "/", "", nil); response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", response.Status)
	}
}

func TestActionsAreCheckedBeforeTheyAreSent(t *testing.T) {
	r := newRig(t)
	b := r.login("admin")
	for body, want := range map[string]string{
		`scale {"kind":"deployments.apps","namespace":"shop","name":"web"}`:                  "replicas must be 0 or more",
		`scale {"kind":"deployments.apps","namespace":"shop","name":"web","replicas":-1}`:    "replicas must be 0 or more",
		`scale {"kind":"deployments.apps","name":"web","replicas":1}`:                        "namespace is missing",
		`cordon {"kind":"pods","namespace":"shop","name":"alone"}`:                           "cannot cordon pods",
		`cordon {"kind":"nodes","namespace":"shop","name":"worker-1"}`:                       "namespace is missing, or the object has none",
		`restart {"kind":"pods","namespace":"shop","name":"alone"}`:                          "cannot restart pods",
		`delete {"kind":"wishes","namespace":"shop","name":"alone"}`:                         "doesn't have a resource type",
		`delete {"kind":"pods","namespace":"shop","name":"../../../nodes/worker-1"}`:         "invalid name",
		`delete {"kind":"pods","namespace":"..","name":"x"}`:                                 "invalid name",
		`delete {"kind":"pods","namespace":"shop"}`:                                          "kind and name are required",
		`delete {"kind":"pods","namespace":"shop","name":"alone","extra":1}`:                 "unknown field",
		`explode {"kind":"pods","namespace":"shop","name":"alone"}`:                          "no action named",
		`rollback {"kind":"deployments.apps","namespace":"shop","name":"web","revision":-2}`: "must not be negative",
		`apply {"yaml":""}`:          "contains no object",
		`apply {"yaml":"kind: Pod"}`: "an object needs apiVersion",
		`apply {"yaml":"a: b: c"}`:   "invalid manifest",
		`apply {"yaml":"- 1"}`:       "it is not an object",
		`delete x`:                   "read the action",
	} {
		action, document, _ := strings.Cut(body, " ")
		response := b.ask(http.MethodPost, "/api/actions/"+action, document, nil)
		var failure problem
		if err := json.Unmarshal([]byte(text(t, response)), &failure); err != nil || response.StatusCode < 400 || !strings.Contains(failure.Error, want) {
			t.Errorf("%s: %s, %+v, want %q", body, response.Status, failure, want)
		}
	}
	if changes := r.changes(); len(changes) > 0 {
		t.Errorf("the API server was asked to change %q", changes)
	}
}

func TestADryRunShowsWhatIsAffected(t *testing.T) {
	r := newRig(t)
	b := r.login("admin")
	for body, want := range map[string]string{
		`scale {"kind":"deployments.apps","namespace":"shop","name":"web","replicas":1,"dryRun":true}`: "2 pods are deleted (3 now, 1 afterwards)",
		`scale {"kind":"deploy","namespace":"shop","name":"web","replicas":4,"dryRun":true}`:           "1 pod is created (3 now, 4 afterwards)",
		`restart {"kind":"deployments.apps","namespace":"shop","name":"web","dryRun":true}`:            "3 pods are replaced",
		`drain {"kind":"nodes","name":"worker-1","dryRun":true}`:                                       "pod shop/alone (not created again: it has no controller)",
		`cordon {"kind":"nodes","name":"worker-1","dryRun":true}`:                                      "1 pod keeps running",
	} {
		action, document, _ := strings.Cut(body, " ")
		var result done
		b.read(b.ask(http.MethodPost, "/api/actions/"+action, document, nil), &result)
		if !slices.Contains(result.Affected, want) || result.Message == "" {
			t.Errorf("%s: %+v, want %q", body, result, want)
		}
	}
	for _, change := range r.changes() {
		if !strings.Contains(change, "dryRun=All") {
			t.Errorf("the API server was asked to change %q", change)
		}
	}
	if r.evicted() {
		t.Error("a pod was evicted")
	}
}

func TestActionsReachTheAPIServer(t *testing.T) {
	r := newRig(t)
	b := r.login("admin")
	var result done
	b.read(b.ask(http.MethodPost, "/api/actions/scale", `{"kind":"deployments.apps","namespace":"shop","name":"web","replicas":5}`, nil), &result)
	changes := r.changes()
	if result.Message != "deployment shop/web scaled to 5 replicas" || len(changes) != 1 || !strings.Contains(changes[0], `{"spec":{"replicas":5}}`) ||
		!strings.Contains(changes[0], "fieldManager=skiff-dashboard") || strings.Contains(changes[0], "dryRun") {
		t.Errorf("got %+v, %q", result, changes)
	}
	response := b.ask(http.MethodPost, "/api/actions/delete", `{"kind":"pods","namespace":"shop","name":"none"}`, nil)
	if response.StatusCode != http.StatusNotFound {
		t.Errorf("delete what does not exist: %s", response.Status)
	}
}

func TestOnlyTheObjectThatWasSeenIsDeleted(t *testing.T) {
	r := newRig(t)
	b := r.login("admin")
	for body, want := range map[string]string{
		`{"kind":"pods","namespace":"shop","name":"alone","uid":"2","resourceVersion":"1"}`: "\"uid\":\"2\"",
		`{"kind":"pods","namespace":"shop","name":"alone"}`:                                 "",
	} {
		b.ask(http.MethodPost, "/api/actions/delete", body, nil)
		deleted := r.deletions()
		if last := deleted[len(deleted)-1]; !strings.Contains(last, want) || want == "" && strings.Contains(last, "preconditions") {
			t.Errorf("%s: sent %s", body, last)
		}
	}
}

func TestAnEditedObjectIsMergedWithTheCurrentOne(t *testing.T) {
	r := newRig(t)
	b := r.login("jane")
	manifest := func(a, b string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: " + a + ", b: " + b + "}\n"
	}
	send := func(original, edited, current string) *http.Response {
		body, err := json.Marshal(map[string]string{"original": original, "yaml": edited, "current": current})
		if err != nil {
			t.Fatal(err)
		}
		return b.ask(http.MethodPost, "/api/actions/merge", string(body), nil)
	}
	var merged kube.Merged
	b.read(send(manifest("one", "one"), manifest("two", "one"), manifest("one", "three")), &merged)
	if !strings.Contains(merged.Manifest, "a: two") || !strings.Contains(merged.Manifest, "b: three") || !strings.Contains(merged.Diff, "+  b: three") {
		t.Errorf("got %+v", merged)
	}
	if response := send("", "[", ""); response.StatusCode != http.StatusBadRequest {
		t.Errorf("an invalid manifest: %s", response.Status)
	}
}

func TestADrainIsStreamed(t *testing.T) {
	r := newRig(t)
	b := r.login("admin")
	response := b.ask(http.MethodPost, "/api/actions/drain", `{"kind":"nodes","name":"worker-1"}`, nil)
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	var last line
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || !last.Done || last.Error != "" {
		t.Errorf("the last line is %q", lines[len(lines)-1])
	}
	for _, want := range []string{`"node worker-1 cordoned"`, `"pod shop/alone evicted"`, `"node worker-1 drained"`} {
		if !strings.Contains(string(content), want) {
			t.Errorf("%s is missing in %s", want, content)
		}
	}
}

func TestApplyReturnsAResultForEachObject(t *testing.T) {
	r := newRig(t)
	b := r.login("admin")
	body, err := json.Marshal(action{DryRun: true, Namespace: "shop", YAML: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new}\ndata: {a: b}\n---\n# nothing\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: refused}\n"})
	if err != nil {
		t.Fatal(err)
	}
	var result done
	b.read(b.ask(http.MethodPost, "/api/actions/apply", string(body), nil), &result)
	if result.Message != "1 created, 1 failed" || len(result.Objects) != 2 {
		t.Fatalf("got %+v", result)
	}
	created, failed := result.Objects[0], result.Objects[1]
	if created.Resource != "configmaps" || created.Namespace != "shop" || created.Result != "created" || !strings.Contains(created.Diff, "+  a: b") {
		t.Errorf("got %+v", created)
	}
	if failed.Result != "failed" || !strings.Contains(failed.Problem, "not found") {
		t.Errorf("got %+v", failed)
	}
	for _, change := range r.changes() {
		if !strings.Contains(change, "dryRun=All") || !strings.Contains(change, "fieldValidation=Strict") {
			t.Errorf("the API server was asked to change %q", change)
		}
	}
}

func TestForwardsNeedARunningPod(t *testing.T) {
	r := newRig(t)
	b := r.login("admin")
	var started forwarded
	b.read(b.ask(http.MethodPost, "/api/forwards", `{"namespace":"shop","pod":"alone","port":8080}`, nil), &started)
	if !strings.HasPrefix(started.Address, "127.0.0.1:") || started.ID == "" || started.Name != "alone" || started.Port != "8080" {
		t.Errorf("got %+v", started)
	}
	var all []forwarded
	b.read(b.ask(http.MethodGet, "/api/forwards", "", nil), &all)
	if len(all) != 1 || all[0].ID != started.ID {
		t.Errorf("got %+v", all)
	}
	other := r.login("admin")
	other.read(other.ask(http.MethodGet, "/api/forwards", "", nil), &all)
	if len(all) != 0 {
		t.Errorf("another session sees %+v", all)
	}
	for body, want := range map[string]int{`{"namespace":"shop","pod":"none","port":1}`: 422, `{"namespace":"shop","pod":"alone"}`: 422, `{"namespace":"shop","pod":"alone","port":70000}`: 422, `{`: 400} {
		if response := b.ask(http.MethodPost, "/api/forwards", body, nil); response.StatusCode != want {
			t.Errorf("%s: %s, want %d", body, response.Status, want)
		}
	}
	if response := b.ask(http.MethodDelete, "/api/forwards/"+started.ID, "", nil); response.StatusCode != http.StatusNoContent {
		t.Errorf("delete: %s", response.Status)
	}
}
