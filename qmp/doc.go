// Package qmp is a client for QEMU's monitor, speaking the QEMU Machine
// Protocol over a Unix socket.
//
// It uses the types of github.com/digitalocean/go-qemu/qmp, and a [Client]
// gives a [Monitor] that go-qemu's qemu.NewDomain accepts, so code written for
// go-qemu works on it. The transport is its own:
//
//   - every call is bounded by a context and may be abandoned at any time;
//   - any number of calls may be under way; replies are matched by id;
//   - subscribers to events never hold up replies, nor one another: each has a
//     bounded queue, and what does not fit is dropped and counted;
//   - a failed command keeps its error class ([CommandError]);
//   - files can be handed to QEMU with a command ([Client.ExecuteFile]);
//   - a monitor that closed says why ([Client.Err]).
//
// # Trust
//
// The peer may be hostile: a guest that broke out of its machine owns the QEMU
// process, and with it the far end of the socket. Whatever it sends, the client
// neither panics nor lets its memory grow past a bound: one message has at most
// [MaxMessage] bytes, one event at most [MaxEvent], a subscription at most its
// capacity of events, and at most [MaxUnanswered] commands wait for a reply.
// What the peer says (versions, descriptions, events) is still the peer's word.
//
// # One client at a time
//
// QEMU serves one client per monitor socket. Further clients connect, but hear
// nothing until the first has left; see [ErrBusy].
//
// The protocol is specified in QEMU's docs/interop/qmp-spec, the commands and
// events in its QMP reference manual.
package qmp
