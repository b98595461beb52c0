package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

// outdatedFiles returns the paths, in order, of those of a node's files of authorities that
// it does not have, and of those certificates, with their keys, that another authority has
// signed.
func outdatedFiles(files pki.Files, status nodeapi.Status) []string {
	issuers := map[string]string{}
	for _, c := range status.Certificates {
		issuers[c.Name] = c.Issuer
	}
	leaves := map[string]bool{}
	var differ []string
	for _, leaf := range files.Leaves() {
		leaves[leaf.Name] = true
		if issuers[leaf.Name] != leaf.Issuer {
			differ = append(differ, leaf.Name+".crt", leaf.Name+".key")
		}
	}
	for _, at := range slices.Sorted(maps.Keys(files)) {
		extension := path.Ext(at)
		if !slices.Contains([]string{".crt", ".key", ".pub"}, extension) || leaves[strings.TrimSuffix(at, extension)] {
			continue
		}
		sum := sha256.Sum256(files[at])
		if status.Trust[at] != hex.EncodeToString(sum[:]) {
			differ = append(differ, at)
		}
	}
	slices.Sort(differ)
	return differ
}
