// Package cabundle checks the certificates of authorities that users add to those
// that nodes trust: a file is accepted as a whole or not at all.
package cabundle

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// MaxBytes bounds a bundle. All authorities of the web take less than half of it.
const MaxBytes = 512 << 10

const blockCertificate = "CERTIFICATE"

// Check returns what is wrong with a bundle, which consists of at least one
// certificate in PEM. Text between certificates is allowed.
func Check(content []byte) error {
	if len(content) > MaxBytes {
		return fmt.Errorf("it is larger than %d KiB", MaxBytes>>10)
	}
	found := 0
	for rest := content; ; found++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != blockCertificate {
			return fmt.Errorf("it contains a block of type %q, but only certificates belong there", block.Type)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("certificate %d: %w", found+1, err)
		}
	}
	switch begun := bytes.Count(content, []byte("-----BEGIN ")); {
	case begun == 0:
		return errors.New("it contains no certificate in PEM")
	case begun != found:
		return errors.New("one of its certificates is incomplete")
	}
	return nil
}
