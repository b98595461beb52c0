//go:build !darwin

package resolver

// hostSource returns the configuration in resolv.conf. Where names are split between
// name servers, it names a local one that does that, such as systemd-resolved's.
func hostSource(file *follower[nameservers]) source { return file }
