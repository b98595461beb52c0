package bootstrap

import "reflect"

// prune removes what encoding leaves of unset fields, which would look like a
// difference.
func prune(content map[string]any) {
	delete(content, "status")
	for key, value := range content {
		switch v := value.(type) {
		case nil:
			delete(content, key)
		case map[string]any:
			prune(v)
			if len(v) == 0 {
				delete(content, key)
			}
		case []any:
			for _, element := range v {
				if m, ok := element.(map[string]any); ok {
					prune(m)
				}
			}
		}
	}
}

// contains reports whether existing has every field of wanted with the same value.
// It may have more: defaults, and what others added. Lists must have the same
// length.
func contains(existing, wanted any) bool {
	switch w := wanted.(type) {
	case map[string]any:
		e, ok := existing.(map[string]any)
		if !ok {
			return false
		}
		for key, value := range w {
			if !contains(e[key], value) {
				return false
			}
		}
		return true
	case []any:
		e, ok := existing.([]any)
		if !ok || len(e) != len(w) {
			return false
		}
		for i := range w {
			if !contains(e[i], w[i]) {
				return false
			}
		}
		return true
	default:
		return reflect.DeepEqual(existing, wanted)
	}
}

// merge sets every field of wanted in existing. Lists are replaced.
func merge(existing, wanted map[string]any) {
	for key, value := range wanted {
		w, isMap := value.(map[string]any)
		e, wasMap := existing[key].(map[string]any)
		if isMap && wasMap {
			merge(e, w)
			continue
		}
		if !contains(existing[key], value) {
			existing[key] = value
		}
	}
}
