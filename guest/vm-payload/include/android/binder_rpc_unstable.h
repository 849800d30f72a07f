/**
 * Servers and clients on sockets of the payload's choice, as Android's libbinder_rpc_unstable of level 36. Most payloads
 * need AVmPayload_runVsockRpcServer and nothing of this.
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <android/binder_ibinder.h>

#if defined(__cplusplus)
extern "C" {
#endif

/** A server of one object. */
typedef struct ARpcServer ARpcServer;

/** How a client's session is set up. */
typedef struct ARpcSession ARpcSession;

/**
 * Makes a server on a vsock port. It listens from now on and accepts from ARpcServer_start or ARpcServer_join on.
 *
 * @param cid the only one to serve (2 is the host), or -1u for all.
 * @param assignedPort set to the port; may be null.
 * @return null, and a line on stderr, if it cannot listen.
 */
ARpcServer* ARpcServer_newVsock(AIBinder* service, unsigned int cid, unsigned int port, unsigned int* assignedPort);

/** Makes a server on a stream socket that is bound, and takes it over; null if it cannot listen. */
ARpcServer* ARpcServer_newBoundSocket(AIBinder* service, int socketFd);

/** Sets how many calls a session may make at once: 1 otherwise. Before the server is started. */
void ARpcServer_setMaxThreads(ARpcServer* server, size_t threads);

/** Serves from another thread. */
void ARpcServer_start(ARpcServer* server);

/** Serves until ARpcServer_shutdown. */
void ARpcServer_join(ARpcServer* server);

/** Ends the sessions of a running server, and the server; false if it was not running. */
bool ARpcServer_shutdown(ARpcServer* server);

/** Frees a server, which goes on running if it is; null is allowed. */
void ARpcServer_free(ARpcServer* server);

/** Makes a session's options, to be freed by ARpcSession_free. They may be used for any number of sessions. */
ARpcSession* ARpcSession_new(void);

/** Sets how many calls the server may make at once outside of ours: 0 otherwise. */
void ARpcSession_setMaxIncomingThreads(ARpcSession* session, size_t threads);

/** Sets how many calls we make at once, at most; 10 otherwise, and never more than the server offers. */
void ARpcSession_setMaxOutgoingConnections(ARpcSession* session, size_t connections);

/** Connects to a vsock port; the server's object, or null and a line on stderr. */
AIBinder* ARpcSession_setupVsockClient(ARpcSession* session, unsigned int cid, unsigned int port);

/** Connects to the unix socket /dev/socket/NAME; the server's object, or null and a line on stderr. */
AIBinder* ARpcSession_setupUnixDomainClient(ARpcSession* session, const char* name);

/**
 * Connects by sockets of the caller's.
 *
 * @param requestFd gives a connected stream socket away, or -1; called once for each connection.
 * @param paramDeleteFd called with `param` when no more are needed; may be null.
 * @return the server's object, or null and a line on stderr.
 */
AIBinder* ARpcSession_setupPreconnectedClient(ARpcSession* session, int (*requestFd)(void* param), void* param,
                                              void (*paramDeleteFd)(void* param));

/** Frees a session's options; null is allowed. */
void ARpcSession_free(ARpcSession* session);


#if defined(__cplusplus)
}
#endif
