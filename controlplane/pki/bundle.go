package pki

import (
	"bytes"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"slices"
)

// Split returns each PEM block of a bundle. Text between blocks is dropped.
func Split(bundle []byte) [][]byte {
	var all [][]byte
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		all = append(all, pem.EncodeToMemory(block))
	}
	return all
}

// BundleSum returns the SHA-256 sum, in hexadecimal, of what a bundle trusts, in whatever
// order it has that.
func BundleSum(bundle []byte) string {
	blocks := Split(bundle)
	slices.SortFunc(blocks, bytes.Compare)
	return fmt.Sprintf("%x", sha256.Sum256(slices.Concat(blocks...)))
}

// ReplaceIn returns a user's bundle in which an authority is trusted in addition to
// another, or instead of it if only is set. A bundle that does not have the other stays as
// it is, and so does one that needs no change.
func ReplaceIn(bundle, old, added []byte, only bool) []byte {
	oldDER, addedDER := decoded(old), decoded(added)
	var hasOld, hasAdded bool
	var kept [][]byte
	for _, block := range Split(bundle) {
		der := decoded(block)
		hasAdded = hasAdded || bytes.Equal(der, addedDER)
		if bytes.Equal(der, oldDER) {
			hasOld = true
			if only {
				continue
			}
		}
		kept = append(kept, block)
	}
	if !hasOld || hasAdded && !only {
		return bundle
	}
	if !hasAdded {
		kept = append(kept, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: addedDER}))
	}
	return slices.Concat(kept...)
}

// decoded returns the content of the first PEM block, nil if there is none.
func decoded(content []byte) []byte {
	block, _ := pem.Decode(content)
	if block == nil {
		return nil
	}
	return block.Bytes
}
