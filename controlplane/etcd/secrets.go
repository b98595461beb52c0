package etcd

import (
	"bytes"
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// secretsPrefix is where the API server stores Secrets.
	secretsPrefix = "/registry/secrets/"
	// encryptedPrefix begins a value that the secretbox provider encrypted. The
	// key's name and a colon follow.
	encryptedPrefix = "k8s:enc:secretbox:v1:"
	// secretsPage is the number of Secrets in one read; one has at most 1.5 MiB.
	secretsPage = 100
)

// EncryptionKeys counts the stored Secrets by the name of the key that encrypts
// them; "" stands for those that are not encrypted. Its reads are linearizable,
// whichever member answers.
func (s Settings) EncryptionKeys(ctx context.Context) (map[string]int, error) {
	var counts map[string]int
	err := s.operate(ctx, func(ctx context.Context, c *clientv3.Client) error {
		counts = map[string]int{}
		end := clientv3.GetPrefixRangeEnd(secretsPrefix)
		options := []clientv3.OpOption{clientv3.WithRange(end), clientv3.WithLimit(secretsPage)}
		for from := secretsPrefix; ; {
			page, err := c.Get(ctx, from, options...)
			if err != nil {
				return fmt.Errorf("read the secrets: %w", err)
			}
			for _, kv := range page.Kvs {
				counts[encryptionKey(kv.Value)]++
			}
			if !page.More || len(page.Kvs) == 0 {
				return nil
			}
			from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
		}
	})
	return counts, err
}

// encryptionKey returns the name of the key that encrypts a stored value, empty if
// it is not encrypted.
func encryptionKey(value []byte) string {
	rest, ok := bytes.CutPrefix(value, []byte(encryptedPrefix))
	if !ok {
		return ""
	}
	name, _, _ := bytes.Cut(rest, []byte(":"))
	return string(name)
}

// Compact discards all revisions but the last.
func (s Settings) Compact(ctx context.Context) error {
	return s.operate(ctx, compact)
}
