package etcd

import (
	"bytes"
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Where the API server keeps Secrets, and what a value encrypted by the
// secretbox provider begins with, the key's name and a colon after it.
const (
	secretsPrefix   = "/registry/secrets/"
	encryptedPrefix = "k8s:enc:secretbox:v1:"
	// secretsPage is how many are read at once; one has at most 1.5 MiB.
	secretsPage = 100
)

// EncryptionKeys counts the Secrets that are stored under each key, by the
// key's name; "" is for those in clear. It reads what is true now, whichever
// member answers.
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

// encryptionKey is the name of the key that a stored value is under, empty for
// one in clear.
func encryptionKey(value []byte) string {
	rest, ok := bytes.CutPrefix(value, []byte(encryptedPrefix))
	if !ok {
		return ""
	}
	name, _, _ := bytes.Cut(rest, []byte(":"))
	return string(name)
}

// Compact forgets all revisions but the last.
func (s Settings) Compact(ctx context.Context) error {
	return s.operate(ctx, compact)
}
