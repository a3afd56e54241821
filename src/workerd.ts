/** `instar/workerd`: the server as a Cloudflare Worker. What its config is made of is in `instar`. */
export { createWorker, type Worker, type WorkerBindings } from './entry/worker.ts'
export { objectStorage, type ObjectStorage } from './plugins/storage/durable-object.ts'
