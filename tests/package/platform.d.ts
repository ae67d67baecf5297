/**
 * The platform's types that the library's types name. For a program without TypeScript's DOM library they are declared
 * here, without members; with it, or with @types/node, these declarations add nothing.
 */

interface AbortSignal {}
interface Blob {}
interface File {}
interface FileSystemDirectoryHandle {}
interface FileSystemFileHandle {}
interface RTCConfiguration {}
interface RTCIceCandidateInit {}
interface RTCIceServer {}
interface RTCPeerConnection {}
interface URL {}
interface WebSocket {}
