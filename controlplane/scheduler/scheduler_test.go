package scheduler

import (
	"encoding/json"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

func TestASchedulerThatWouldNotStartIsFound(t *testing.T) {
	const header = `"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"`
	for content, want := range map[string]string{
		`{}`: "",
		`{` + header + `, "profiles": [{"schedulerName": "default-scheduler"}, {"schedulerName": "packed"}]}`:                                  "",
		`{` + header + `, "profiles": [{"schedulerName": "a", "plugins": {"score": {"enabled": [{"name": "NoSuchPlugin"}]}}}]}`:                "NoSuchPlugin",
		`{` + header + `, "profiles": [{"schedulerName": "a"}, {"schedulerName": "a"}]}`:                                                       "Duplicate value",
		`{` + header + `, "profiles": [{"schedulerName": "a", "pluginConfig": [{"name": "NodeResourcesFit", "args": {"no": "such field"}}]}]}`: "unknown field",
	} {
		var user map[string]any
		if err := json.Unmarshal([]byte(content), &user); err != nil {
			t.Fatal(err)
		}
		err := Check(t.Context(), Settings{Client: &rest.Config{Host: "https://127.0.0.1:1"}, Config: user})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", content, err, want)
		}
	}
}
