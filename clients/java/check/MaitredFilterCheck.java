package maitred;

import java.io.File;
import java.lang.reflect.Proxy;
import java.math.BigInteger;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Signature;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECGenParameterSpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;

import javax.servlet.DispatcherType;
import javax.servlet.FilterChain;
import javax.servlet.FilterConfig;
import javax.servlet.ServletContext;
import javax.servlet.ServletException;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;

/** Checks of those parts of the filter that need no container and no director. Ends with 1 when one fails. */
public final class MaitredFilterCheck {
    private static final long NOW = 1_800_000_000L;
    private static int checks;
    private static final List<String> FAILED = new ArrayList<>();

    private MaitredFilterCheck() {}

    /** Runs all of them. */
    public static void main(String[] arguments) throws Exception {
        addresses();
        json();
        seconds();
        tickets(Signer.es256("one"));
        tickets(Signer.ed25519("two"));
        keys();
        once();
        life();
        refusals();
        System.out.println(checks + " checks, " + FAILED.size() + " failed");
        FAILED.forEach(System.out::println);
        System.exit(FAILED.isEmpty() ? 0 : 1);
    }

    private static void is(Object found, Object wanted, String what) {
        checks++;
        if (!String.valueOf(wanted).equals(String.valueOf(found))) {
            FAILED.add(what + ": " + found + ", not " + wanted);
        }
    }

    private static void addresses() {
        String[][] queries = {
            {null, null, null},
            {"", null, ""},
            {"a=1", null, "a=1"},
            {"maitred_ticket=T", "T", null},
            {"a=1&maitred_ticket=T", "T", "a=1"},
            {"maitred_ticket=T&a=%20&&b", "T", "a=%20&&b"},
            {"maitred_ticket=old&a=1&maitred%5Fticket=T", "T", "a=1"},
            {"maitred_ticket", "", null},
            {"maitred_tickets=1&xmaitred_ticket=2", null, "maitred_tickets=1&xmaitred_ticket=2"},
            {"%=1&%zz=2&maitred_ticket=T", "T", "%=1&%zz=2"},
        };
        for (String[] query : queries) {
            is(MaitredFilter.ticketIn(query[0]), query[1], "ticket in " + query[0]);
            is(MaitredFilter.withoutTicket(query[0]), query[2], "rest of " + query[0]);
        }
        String[][] paths = {
            {"/", "/"}, {"/desk/a%2Fb;x=1", "/desk/a%2Fb;x=1"}, {"//evil.example", "/evil.example"},
            {"/\\evil.example", "/evil.example"}, {"///\\//evil", "/evil"}, {"/a\r\nb", "/"}, {"/a#b", "/"}, {"/\u00e9", "/"},
            {"/@evil", "/@evil"}, {"/%5Cevil", "/%5Cevil"},
        };
        for (String[] path : paths) {
            is(MaitredFilter.safePath(path[0]), path[1], "path " + path[0]);
        }
        is(MaitredFilter.encode("J\u00fcrgen M/1.x~"), "J%C3%BCrgen%20M%2F1.x~", "a segment");
        for (String door : new String[] {"http://a/", "javascript:alert(1)", "//a", "https://a/\r\nX: y", "https://a/\u00e9", ""}) {
            is(MaitredFilter.Claims.door(door), null, "door " + door);
        }
        is(MaitredFilter.Claims.door("https://agents.example.com/x?y"), "https://agents.example.com/x?y", "a door");
        for (String url : new String[] {"https://a", "https://a:1", "https://[::1]:9443"}) {
            is(MaitredFilter.Settings.isOrigin(url), true, url);
        }
        for (String url : new String[] {"http://a", "https://a/x", "https://u@a", "https://", "https://a?x", "a", "https:// a"}) {
            is(MaitredFilter.Settings.isOrigin(url), false, url);
        }
    }

    private static void json() {
        String text = "{\"a\":[1,-2,0.5,1e3,true,false,null,\"x\\n\\u00e9\\\\\\\"\"],\"b\":{},\"c\":[]}";
        Object read = MaitredFilter.Json.read(" " + text + "\n");
        is(MaitredFilter.Json.read(MaitredFilter.Json.write(read)), read, "JSON there and back");
        is(((Map<?, ?>) read).get("a"), Arrays.asList(1L, -2L, 0.5, 1000.0, true, false, null, "x\n\u00e9\\\""), "JSON values");
        is(MaitredFilter.Json.write(Collections.singletonMap("k\"", "a\u0001\u2028b")), "{\"k\\\"\":\"a\\u0001\\u2028b\"}", "quoted");
        String deep = String.join("", Collections.nCopies(100_000, "["));
        for (String bad : new String[] {"", "{", "{\"a\":1,\"a\":2}", "{a:1}", "[1,]", "01", "1.", "+1", "\"\n\"", "\"\\x\"", "1 2",
                "nul", "1e400000", "99999999999999999999", "\"\\ud8", deep, "{\"a\" 1}"}) {
            try {
                MaitredFilter.Json.read(bad);
                is("taken", "refused", "JSON " + bad.substring(0, Math.min(20, bad.length())));
            } catch (IllegalArgumentException refused) {
                checks++;
            }
        }
    }

    private static void seconds() {
        is(MaitredFilter.millis(2L, 7), 2000, "whole seconds");
        is(MaitredFilter.millis(0.2, 7), 200, "parts of a second");
        is(MaitredFilter.millis("2s", 7), 7, "no number");
    }

    /** Signs as a director does. */
    private static final class Signer {
        final String algorithm;
        final String kid;
        final KeyPair pair;

        private Signer(String algorithm, String kid, KeyPair pair) {
            this.algorithm = algorithm;
            this.kid = kid;
            this.pair = pair;
        }

        static Signer es256(String kid) throws Exception {
            KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
            generator.initialize(new ECGenParameterSpec("secp256r1"));
            return new Signer("ES256", kid, generator.generateKeyPair());
        }

        static Signer ed25519(String kid) throws Exception {
            return new Signer("EdDSA", kid, KeyPairGenerator.getInstance("Ed25519").generateKeyPair());
        }

        Map<String, Object> jwk() {
            Map<String, Object> jwk = new LinkedHashMap<>();
            jwk.put("kid", kid);
            if ("EdDSA".equals(algorithm)) {
                byte[] der = pair.getPublic().getEncoded();
                jwk.put("kty", "OKP");
                jwk.put("crv", "Ed25519");
                jwk.put("x", base64(Arrays.copyOfRange(der, der.length - 32, der.length)));
            } else {
                ECPublicKey key = (ECPublicKey) pair.getPublic();
                jwk.put("kty", "EC");
                jwk.put("crv", "P-256");
                jwk.put("x", base64(fixed(key.getW().getAffineX())));
                jwk.put("y", base64(fixed(key.getW().getAffineY())));
            }
            return jwk;
        }

        String sign(String head, String claims) throws Exception {
            String text = base64(head.getBytes(StandardCharsets.UTF_8)) + "." + base64(claims.getBytes(StandardCharsets.UTF_8));
            boolean edwards = "EdDSA".equals(algorithm);
            Signature signature = Signature.getInstance(edwards ? "Ed25519" : "SHA256withECDSAinP1363Format");
            signature.initSign(pair.getPrivate());
            signature.update(text.getBytes(StandardCharsets.US_ASCII));
            return text + "." + base64(signature.sign());
        }

        private static byte[] fixed(BigInteger number) {
            byte[] bytes = number.toByteArray();
            byte[] fixed = new byte[32];
            for (int at = 0; at < Math.min(32, bytes.length); at++) {
                fixed[31 - at] = bytes[bytes.length - 1 - at];
            }
            return fixed;
        }
    }

    private static String base64(byte[] bytes) {
        return Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
    }

    private static String claims(String replace, String by) {
        String claims = "{\"iss\":\"east-1\",\"aud\":\"ua1\",\"sub\":\"1001\",\"jti\":\"j1\",\"iat\":" + NOW + ",\"exp\":" + (NOW + 60)
                + ",\"pool\":\"ua\",\"session\":\"0123456789abcdef0123456789abcdef\",\"generation\":2,"
                + "\"return\":\"https://agents.example.com/desk\"}";
        if (!claims.contains(replace)) {
            throw new IllegalStateException(replace);
        }
        return claims.replace(replace, by);
    }

    private static String outcome(MaitredFilter.Verdict verdict) {
        if (verdict == MaitredFilter.Verdict.UNKNOWN) {
            return "unknown";
        }
        return verdict.claims != null ? "good" : verdict.back != null ? "late" : "bad";
    }

    private static void tickets(Signer signer) throws Exception {
        MaitredFilter.Tickets tickets = new MaitredFilter.Tickets("ua1", "ua");
        String head = "{\"alg\":\"" + signer.algorithm + "\",\"kid\":\"" + signer.kid + "\",\"typ\":\"JWT\"}";
        String good = signer.sign(head, claims("1001", "1001"));
        is(outcome(tickets.check(good, NOW)), "unknown", "a ticket before its key is known");
        is(tickets.wantsKeys(1_000_000_000_000L), true, "an unknown key is looked for");
        tickets.learn(Collections.singletonMap("keys", Collections.singletonList(signer.jwk())));
        MaitredFilter.Verdict verdict = tickets.check(good, NOW);
        is(outcome(verdict), "good", signer.algorithm);
        is(verdict.claims.key + " " + verdict.claims.generation + " " + verdict.claims.jti, "1001 2 j1", "claims");
        is(outcome(tickets.check(good, NOW + 90)), "good", "within the leeway");
        is(outcome(tickets.check(good, NOW + 91)), "late", "too old");
        is(outcome(tickets.check(good, NOW - 30)), "good", "a clock behind");
        is(outcome(tickets.check(good, NOW - 31)), "bad", "from the future");

        String[][] wrong = {
            {"\"aud\":\"ua1\"", "\"aud\":\"ua2\""}, {"\"aud\":\"ua1\"", "\"aud\":[\"ua1\"]"}, {"\"pool\":\"ua\"", "\"pool\":\"other\""},
            {"\"exp\":" + (NOW + 60), "\"exp\":\"" + (NOW + 60) + "\""}, {"\"exp\":" + (NOW + 60), "\"exp\":1e400"},
            {"\"exp\":" + (NOW + 60), "\"exp\":-1"}, {"\"exp\":" + (NOW + 60), "\"exp\":" + (NOW + 60) + ".5"},
            {"\"exp\":" + (NOW + 60) + ",", ""}, {"\"exp\":" + (NOW + 60), "\"exp\":" + (NOW + 100_000)},
            {"\"jti\":\"j1\",", ""}, {"\"sub\":\"1001\"", "\"sub\":\"\""}, {"\"sub\":\"1001\"", "\"sub\":\"a\\nb\""},
            {"\"sub\":\"1001\"", "\"sub\":\"1001\",\"sub\":\"1002\""}, {"\"generation\":2", "\"generation\":\"2\""},
        };
        for (String[] claim : wrong) {
            is(outcome(tickets.check(signer.sign(head, claims(claim[0], claim[1])), NOW)), "bad", claim[1]);
        }
        String other = "EdDSA".equals(signer.algorithm) ? "ES256" : "EdDSA";
        for (String alg : new String[] {"none", "None", "nOnE", "HS256", "RS256", other}) {
            String forged = signer.sign(head.replace(signer.algorithm, alg), claims("1001", "1001"));
            is(outcome(tickets.check(forged, NOW)), "bad", "alg " + alg);
        }
        for (String more : new String[] {"\"crit\":[\"x\"]", "\"jku\":\"https://evil\"", "\"jwk\":{}", "\"x5u\":\"x\"", "\"b64\":false",
                "\"zip\":\"DEF\""}) {
            String forged = signer.sign(head.replace("\"typ\"", more + ",\"typ\""), claims("1001", "1001"));
            is(outcome(tickets.check(forged, NOW)), "bad", more);
        }
        for (String kid : new String[] {"../../dev/null", "' OR 1"}) {
            is(outcome(tickets.check(signer.sign(head.replace(signer.kid, kid), claims("1001", "1001")), NOW)), "unknown", kid);
        }
        String[] parts = good.split("\\.");
        String text = parts[0] + "." + parts[1] + ".";
        for (String bad : new String[] {"", ".", "..", "a.b", good + ".", good + "=", " " + good, good.replace(".", ".\n"), text,
                text + base64(new byte[64]), text + base64(new byte[63]), text + parts[2] + "A", text + parts[2].substring(1),
                parts[0] + "." + base64(claims("1001", "1002").getBytes(StandardCharsets.UTF_8)) + "." + parts[2],
                String.join("", Collections.nCopies(1 << 20, "a"))}) {
            is(outcome(tickets.check(bad, NOW)), "bad", "a broken ticket of " + bad.length());
        }
        for (int at = 0; at < good.length(); at++) {
            char flipped = good.charAt(at) == 'A' ? 'B' : 'A';
            String forged = good.substring(0, at) + flipped + good.substring(at + 1);
            boolean taken = tickets.check(forged, NOW).claims != null;
            is(taken, false, "a flipped letter at " + at);
        }
        is(outcome(tickets.accept(Collections.emptyMap(), NOW)), "bad", "no claims");
    }

    private static void keys() throws Exception {
        MaitredFilter.Tickets tickets = new MaitredFilter.Tickets("ua1", "ua");
        Signer signer = Signer.es256("good");
        Map<String, Object> unknown = new LinkedHashMap<>(Signer.es256("other").jwk());
        unknown.put("crv", "P-521");
        Map<String, Object> broken = new LinkedHashMap<>(Signer.ed25519("broken").jwk());
        broken.put("x", "AAAA");
        tickets.learn(Collections.singletonMap("keys", Arrays.asList("nonsense", unknown, broken, Collections.emptyMap(), signer.jwk())));
        String head = "{\"alg\":\"ES256\",\"kid\":\"good\"}";
        is(outcome(tickets.check(signer.sign(head, claims("1001", "1001")), NOW)), "good", "a key among unusable ones");
        tickets.learn(Collections.emptyMap());
        is(outcome(tickets.check(signer.sign(head, claims("1001", "1001")), NOW)), "unknown", "a retired key");
    }

    /** A servlet interface that answers what the test says, by the method's name, and otherwise nothing. */
    private static <T> T fake(Class<T> type, Map<String, Function<Object[], Object>> answers) {
        Object proxy = Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (self, method, arguments) -> {
            Function<Object[], Object> answer = answers.get(method.getName());
            if (answer != null) {
                return answer.apply(arguments);
            }
            Class<?> wanted = method.getReturnType();
            return wanted == boolean.class ? (Object) false : wanted == int.class ? (Object) 0 : null;
        });
        return type.cast(proxy);
    }

    private static FilterConfig config(Map<String, String> parameters, Map<String, Object> attributes) {
        Map<String, Function<Object[], Object>> context = new HashMap<>();
        context.put("getAttribute", name -> attributes.get(name[0]));
        context.put("setAttribute", pair -> attributes.put((String) pair[0], pair[1]));
        context.put("removeAttribute", name -> attributes.remove(name[0]));
        context.put("getAttributeNames", none -> Collections.enumeration(attributes.keySet()));
        Map<String, Function<Object[], Object>> config = new HashMap<>();
        config.put("getInitParameter", name -> parameters.get(name[0]));
        config.put("getServletContext", none -> fake(ServletContext.class, context));
        return fake(FilterConfig.class, config);
    }

    private static long threads() {
        return Thread.getAllStackTraces().keySet().stream().filter(thread -> thread.getName().startsWith("maitred-")).count();
    }

    /** A director that takes connections and never says a word; requests are answered, and nothing stays behind. */
    private static void life() throws Exception {
        try (ServerSocket silent = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
            File token = File.createTempFile("maitred", "token");
            token.deleteOnExit();
            Files.write(token.toPath(), "secret\n".getBytes(StandardCharsets.US_ASCII));
            Map<String, String> parameters = new HashMap<>();
            parameters.put("server", "ua1");
            parameters.put("pool", "ua");
            parameters.put("directors", "https://127.0.0.1:" + silent.getLocalPort());
            parameters.put("front", "https://agents.example.com");
            parameters.put("token-file", token.getPath());
            parameters.put("call-timeout", "150");
            Map<String, Object> attributes = new ConcurrentHashMap<>();
            MaitredFilter filter = new MaitredFilter();
            filter.init(config(parameters, attributes));
            is(threads() >= 2, true, "threads at work");

            Map<String, String> headers = new TreeMap<>();
            int[] status = {0};
            Map<String, Function<Object[], Object>> response = new HashMap<>();
            response.put("setStatus", code -> status[0] = (Integer) code[0]);
            response.put("setHeader", pair -> headers.put((String) pair[0], (String) pair[1]));
            Map<String, Function<Object[], Object>> request = new HashMap<>();
            String head = "{\"alg\":\"ES256\",\"kid\":\"k\"}";
            String ticket = Signer.es256("k").sign(head, claims("1001", "1001"));
            String[] query = {"a=1&maitred_ticket=" + ticket};
            request.put("getRequestURI", none -> "/desk");
            request.put("getMethod", none -> "GET");
            request.put("getQueryString", none -> query[0]);
            request.put("getHeader", name -> "Accept".equals(name[0]) ? "text/html" : null);
            request.put("getDispatcherType", none -> DispatcherType.REQUEST);
            int[] served = {0};
            Map<String, Function<Object[], Object>> chain = new HashMap<>();
            chain.put("doFilter", both -> served[0]++);
            HttpServletRequest asked = fake(HttpServletRequest.class, request);
            HttpServletResponse answer = fake(HttpServletResponse.class, response);
            FilterChain application = fake(FilterChain.class, chain);
            filter.doFilter(asked, answer, application);
            // Depending on what is known of the directors by then: to the door, or in.
            is(status[0] + " " + headers.get("Location").replace("https://agents.example.com", ""), "303 /desk?a=1", "a lost ticket");
            query[0] = "a=1";
            while (served[0] == 0) {
                // To the door, until it is known that nobody opens.
                filter.doFilter(asked, answer, application);
                Thread.sleep(10);
            }
            filter.destroy();
            is(attributes.containsKey("maitred.filter"), false, "the context is left clean");
            for (int patience = 0; threads() > 0 && patience < 3000; patience++) {
                Thread.sleep(10);
            }
            is(threads(), 0, "threads that are left");
            filter.doFilter(asked, answer, application);
            is(served[0], 2, "a filter that was taken out is in nobody's way");
        }
    }

    /** What keeps the application from starting is said. */
    private static void refusals() {
        String[][] wrong = {
            {"server", ""}, {"pool", " "}, {"directors", "http://a"}, {"directors", "https://a/b"}, {"front", "agents.example.com"},
            {"ca", "/nowhere/ca.pem"}, {"cert", "/nowhere/cert.pem"}, {"token-file", ""}, {"call-timeout", "0"}, {"call-timeout", "2s"},
            {"capacity", "-1"},
        };
        for (String[] parameter : wrong) {
            Map<String, String> parameters = new HashMap<>();
            parameters.put("server", "ua1");
            parameters.put("pool", "ua");
            parameters.put("directors", "https://127.0.0.1:1");
            parameters.put("token-file", "/dev/null");
            parameters.put(parameter[0], parameter[1]);
            try {
                MaitredFilter filter = new MaitredFilter();
                filter.init(config(parameters, new ConcurrentHashMap<>()));
                filter.destroy();
                is("taken", "refused", parameter[0] + " " + parameter[1]);
            } catch (ServletException refused) {
                is(refused.getMessage().startsWith("maitred: "), true, refused.getMessage());
            }
        }
        is(threads(), 0, "threads of filters that never were");
    }

    private static void once() throws Exception {
        MaitredFilter.Tickets tickets = new MaitredFilter.Tickets("ua1", "ua");
        Signer signer = Signer.es256("k");
        tickets.learn(Collections.singletonMap("keys", Collections.singletonList(signer.jwk())));
        String head = "{\"alg\":\"ES256\",\"kid\":\"k\"}";
        MaitredFilter.Claims one = tickets.check(signer.sign(head, claims("j1", "j1")), NOW).claims;
        MaitredFilter.Claims other = tickets.check(signer.sign(head, claims("j1", "j2")), NOW).claims;
        is(tickets.isFirst(one), true, "the first time");
        is(tickets.isFirst(one), false, "the second time");
        is(tickets.isFirst(other), true, "another ticket");
    }
}
