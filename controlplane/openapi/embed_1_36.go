//go:build kubernetes_before_1_37 && !kubernetes_before_1_36

package openapi

import _ "embed"

//go:embed documents-1.36.zip
var embedded []byte
