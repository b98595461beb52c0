package nodeconfig

import (
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"fmt"
	"io"
	"reflect"
)

// Contract returns a digest of what a node document may contain. A node refuses a
// document with keys that it does not know, so a host uses only node images that
// were built with the same contract.
func Contract() string {
	h := sha256.New()
	_, _ = fmt.Fprintln(h, APIVersion)
	describe(h, "", reflect.TypeFor[Node]())
	describe(h, ComponentsFile, reflect.TypeFor[Components]())
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// describe writes the JSON keys and kinds of a type.
func describe(w io.Writer, path string, t reflect.Type) {
	if t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		_, _ = fmt.Fprintln(w, path, t)
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			field := t.Field(i)
			describe(w, path+"."+field.Name+"("+string(field.Tag)+")", field.Type)
		}
	case reflect.Pointer, reflect.Slice:
		describe(w, path+"[]", t.Elem())
	case reflect.Map:
		_, _ = fmt.Fprintln(w, path, t.Key())
		describe(w, path+"{}", t.Elem())
	default:
		_, _ = fmt.Fprintln(w, path, t.Kind())
	}
}
