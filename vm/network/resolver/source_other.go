//go:build !darwin

package resolver

// hostSource returns the configuration in resolv.conf. On hosts that use different
// name servers for some domains, it names a local one such as systemd-resolved's.
func hostSource(file *follower[nameservers]) source { return file }
