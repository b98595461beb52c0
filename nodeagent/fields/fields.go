// Package fields merges users' fields into the configuration of a component.
package fields

import "encoding/json"

// Merge returns config in JSON with the fields: objects are merged, everything else is
// replaced, and null removes a field (RFC 7386).
func Merge(config any, fields map[string]any) ([]byte, error) {
	content, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	var object map[string]any
	if err := json.Unmarshal(content, &object); err != nil {
		return nil, err
	}
	return json.Marshal(merged(object, fields))
}

func merged(object, fields map[string]any) map[string]any {
	if object == nil {
		object = map[string]any{}
	}
	for key, value := range fields {
		inner, isObject := value.(map[string]any)
		switch {
		case value == nil:
			delete(object, key)
		case isObject:
			existing, _ := object[key].(map[string]any)
			object[key] = merged(existing, inner)
		default:
			object[key] = value
		}
	}
	return object
}
