# A mail server that does as it is told, on a free port of 127.0.0.1.
#
# Its argument is a JSON object:
#   answers   what it says to the messages, in turn; then 250. "drop" closes the connection instead
#   answers_by_recipient   what it says to recipients, by address
#   certificate, key       files; STARTTLS is offered with them
#   implicit  TLS from the first byte
#   user, password         who must sign in, before STARTTLS too if `auth_in_clear`
#   delays    seconds before messages are answered, in turn; then 0
#
# What it reads is an answer to one more message. It prints its port, then a line of JSON for everything that happens.
import asyncio
import email
import email.policy
import json
import ssl
import sys
import time

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

told = json.loads(sys.argv[1])
answers = list(told.get("answers", []))
delays = list(told.get("delays", []))


def say(**fact):
    print(json.dumps(fact), flush=True)


def is_encrypted(server):
    return server.transport.get_extra_info("ssl_object") is not None


def part(one):
    return {
        "type": one.get_content_type(),
        "name": one.get_filename(),
        "content": one.get_payload(decode=True).decode(),
    }


class Handler:
    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        return responses

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = told.get("answers_by_recipient", {}).get(address)
        if answer is not None:
            say(recipient=address, answer=answer)
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        answer = answers.pop(0) if answers else "250 taken as 1"
        say(
            answer=answer,
            at=time.time(),
            hello=session.host_name,
            sender=envelope.mail_from,
            recipients=envelope.rcpt_tos,
            tls=is_encrypted(server),
            user=getattr(session, "user", None),
            headers=[[name, str(value)] for name, value in message.items()],
            defects=[str(defect) for defect in message.defects],
            parts=[part(one) for one in message.walk() if not one.is_multipart()],
            nesting=[one.get_content_type() for one in message.walk()],
            raw=envelope.content.decode("ascii"),
        )
        await asyncio.sleep(delays.pop(0) if delays else 0)
        if answer == "drop":
            server.transport.close()
            return ""
        return answer


def check(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (
        told["user"].encode(),
        told["password"].encode(),
    )
    say(signs_in=mechanism, good=good, tls=is_encrypted(server))
    if good:
        session.user = told["user"]
        return AuthResult(success=True)
    # Some servers say what they were told.
    said = f"535 no {data.login.decode()} with password {data.password.decode()}"
    return AuthResult(success=False, handled=False, message=said)


def hear():
    answers.append(sys.stdin.readline().strip())
    say(told=answers[-1])


async def main():
    context = None
    if "certificate" in told:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(told["certificate"], told["key"])
    implicit = told.get("implicit", False)
    options = {"hostname": "mx.test", "enable_SMTPUTF8": False}
    if context and not implicit:
        options["tls_context"] = context
    if "user" in told:
        options |= {
            "authenticator": check,
            "auth_required": True,
            "auth_require_tls": not told.get("auth_in_clear", False),
        }
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(Handler(), loop=loop, **options),
        "127.0.0.1",
        told.get("port", 0),
        ssl=context if implicit else None,
    )
    loop.add_reader(sys.stdin, hear)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
