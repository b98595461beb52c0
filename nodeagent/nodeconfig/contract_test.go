package nodeconfig

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestContractChangesWithWhatADocumentMayContain(t *testing.T) {
	digest := func(v any) string {
		var text strings.Builder
		describe(&text, "", reflect.TypeOf(v))
		return text.String()
	}
	type peer struct {
		Name string `json:"name"`
	}
	type renamed struct {
		Name string `json:"label"`
	}
	type more struct {
		Name string `json:"name"`
		Port int    `json:"port"`
	}
	seen := map[string]any{}
	for _, v := range []any{
		peer{}, renamed{}, more{}, []peer{}, []more{}, map[string]peer{}, map[string]more{}, struct{ P *peer }{}, struct{ P *more }{},
		struct{ A netip.Addr }{}, struct{ A netip.Prefix }{}, struct{ A string }{}, struct{ A bool }{},
	} {
		text := digest(v)
		if other, ok := seen[text]; ok {
			t.Errorf("%T and %T have the same contract", v, other)
		}
		seen[text] = v
	}
	if first, second := Contract(), Contract(); first != second || len(first) != 16 {
		t.Errorf("contracts %q and %q", first, second)
	}
}
