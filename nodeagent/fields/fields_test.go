package fields

import "testing"

func TestObjectsAreMergedAndOtherValuesReplaced(t *testing.T) {
	config := map[string]any{"maxPods": 110, "evictionHard": map[string]string{"memory.available": "100Mi", "nodefs.available": "5%"}, "list": []int{1, 2}, "gone": true}
	got, err := Merge(config, map[string]any{
		"maxPods": 20, "evictionHard": map[string]any{"memory.available": "200Mi"}, "list": []any{3}, "new": map[string]any{"x": "y"}, "gone": nil,
	})
	const want = `{"evictionHard":{"memory.available":"200Mi","nodefs.available":"5%"},"list":[3],"maxPods":20,"new":{"x":"y"}}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
}
