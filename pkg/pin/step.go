//go:build !attack

package pin

// reached marks a step of a verification. Here it is nothing; a build for the attack suite can die or freeze there.
func reached(string) {}
