//go:build kubernetes_before_1_36

package openapi

import _ "embed"

//go:embed documents-1.35.zip
var embedded []byte
