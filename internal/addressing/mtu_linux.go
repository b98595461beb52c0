package addressing

// MTU of every link of the machines' network, in bytes. Packets cross no real network,
// so they are as large as a guest's kernel can send from 16 KiB of memory in one piece,
// headers and its own data included: the work for a transfer depends on their number.
const MTU = 15 << 10
