//go:build !kubernetes_before_1_37

package openapi

import _ "embed"

//go:embed documents-1.37.zip
var embedded []byte
