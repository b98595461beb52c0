// Package nearest suggests the name that a user may have meant. It answers only if
// one is close enough.
package nearest

import "strings"

// Of returns the candidate with the smallest edit distance to word, ignoring case,
// or "" if that one differs in more than a third of its letters and in more than one
// letter.
func Of(word string, candidates []string) string {
	const longest = 64 // longer than any name; bounds the work for any input
	if word == "" || len(word) > longest {
		return ""
	}
	best, bestDistance := "", longest
	for _, candidate := range candidates {
		d := distance(strings.ToLower(word), strings.ToLower(candidate))
		if d < bestDistance && d <= max(1, (len(candidate)+1)/3) {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance returns the number of insertions, deletions, substitutions and
// transpositions of adjacent bytes between two strings (optimal string alignment).
func distance(a, b string) int {
	before := make([]int, len(b)+1)
	last := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
