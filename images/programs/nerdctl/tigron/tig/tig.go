// Package tig names the one type of nerdctl's test framework that nerdctl's own
// program refers to. The framework is a module that lives only in nerdctl's
// repository and is never published, so this stands in its place; nothing of
// it runs.
package tig

// T is what a test hands to its helpers.
type T interface {
	Helper()
	Log(args ...any)
	FailNow()
	Fail()
	TempDir() string
}
