// Package reality holds kvmrun against guests as people have them, which nobody made
// for its tests. They take longer to boot, so there are few tests, and each sees much
// of one boot.
//
// The image of Debian is made by kvmrun image build once, and kept in build/debian
// (make build/debian/images/names/debian.json).
package reality
