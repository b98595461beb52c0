package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestResultsOfGatewayTestsAreCounted(t *testing.T) {
	r := countResults(strings.NewReader(`=== RUN   TestConformance
--- FAIL: TestConformance (2.00s)
    --- PASS: TestConformance/HTTPRouteWeight (1.00s)
        --- PASS: TestConformance/HTTPRouteWeight/0_request (1.00s)
    --- FAIL: TestConformance/HTTPRouteCORS (1.00s)
        --- FAIL: TestConformance/HTTPRouteCORS/1_request (1.00s)
    --- SKIP: TestConformance/MeshBasic (0.00s)
`))
	if got := fmt.Sprint(r); got != "{1 1 [HTTPRouteCORS]}" {
		t.Error(got)
	}
}
