package dns

// register is one of the kernel's virtual machine for programs (eBPF; RFC 9669).
type register uint8

// r0 has what a call or a load returns, r1 to r5 are arguments, r6 to r9 outlast
// calls, and r10 is the end of the stack.
const (
	r0 register = iota
	r1
	r2
	r3
	_
	_
	r6
	r7
	r8
	r9
	r10
)

// instruction is one of that machine's, as the kernel takes it.
type instruction struct {
	code      uint8
	registers uint8 // the target in the lower half, the source in the upper
	offset    int16
	value     int32
}

// size is how much is loaded (RFC 9669, section 5.1).
type size uint8

const (
	word  size = 0x00
	half  size = 0x08
	octet size = 0x10
)

// Functions of the kernel's (bpf-helpers(7)).
const (
	helperLookUp  = 1   // bpf_map_lookup_elem
	helperRelease = 86  // bpf_sk_release
	helperAssign  = 124 // bpf_sk_assign
)

func between(to, from register) uint8 { return uint8(to) | uint8(from)<<4 }

func move(to, from register) instruction {
	return instruction{code: 0xbf, registers: between(to, from)}
}
func set(to register, value int32) instruction {
	return instruction{code: 0xb7, registers: uint8(to), value: value}
}
func add(to register, value int32) instruction {
	return instruction{code: 0x07, registers: uint8(to), value: value}
}
func and(to register, value int32) instruction {
	return instruction{code: 0x57, registers: uint8(to), value: value}
}
func shiftLeft(to register, by int32) instruction {
	return instruction{code: 0x67, registers: uint8(to), value: by}
}
func store(at register, offset int16, value int32) instruction {
	return instruction{code: 0x62, registers: uint8(at), offset: offset, value: value}
}
func call(helper int32) instruction { return instruction{code: 0x85, value: helper} }
func exit() instruction             { return instruction{code: 0x95} }

// load reads a part of the frame into r0, in the machine's order of bytes. If it is
// not there the program ends with 0.
func load(s size, offset int32) instruction {
	return instruction{code: 0x20 | uint8(s), value: offset}
}

// loadAt is load, further by what is in the register.
func loadAt(s size, by register, offset int32) instruction {
	return instruction{code: 0x40 | uint8(s), registers: between(0, by), value: offset}
}

// mapOf sets a register to the map of a descriptor.
func mapOf(to register, fd int) []instruction {
	const ofDescriptor = register(1) // BPF_PSEUDO_MAP_FD
	return []instruction{{code: 0x18, registers: between(to, ofDescriptor), value: int32(fd)}, {}}
}

// assembly puts a program together and finds its jumps' targets.
type assembly struct {
	code  []instruction
	marks map[string]int
	jumps map[int]string
}

func (a *assembly) add(code ...instruction) { a.code = append(a.code, code...) }

// mark names the next instruction.
func (a *assembly) mark(name string) {
	if a.marks == nil {
		a.marks = make(map[string]int)
	}
	a.marks[name] = len(a.code)
}

// when jumps if the lower half of the register is equal to the value.
func (a *assembly) when(r register, value uint32, to string) { a.jump(0x16, r, value, to) }

// whenNull jumps if the whole register is 0, as the kernel wants pointers looked at.
func (a *assembly) whenNull(r register, to string) { a.jump(0x15, r, 0, to) }

// unless jumps if it is not.
func (a *assembly) unless(r register, value uint32, to string) { a.jump(0x56, r, value, to) }

func (a *assembly) jump(code uint8, r register, value uint32, to string) {
	if a.jumps == nil {
		a.jumps = make(map[int]string)
	}
	a.jumps[len(a.code)] = to
	a.add(instruction{code: code, registers: uint8(r), value: int32(value)})
}

// finish returns the program.
func (a *assembly) finish() []instruction {
	for at, to := range a.jumps {
		a.code[at].offset = int16(a.marks[to] - at - 1)
	}
	return a.code
}
