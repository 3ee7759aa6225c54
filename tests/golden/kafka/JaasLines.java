import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.common.config.types.Password;
import org.apache.kafka.common.security.JaasContext;

/**
 * Makes lines of sasl.jaas.config at random (the seed is fixed) and prints what the Java client makes of each:
 * the line, the module and its options, or "refused", by tab. Whatever is not a printable ASCII letter is \\uXXXX.
 */
public class JaasLines {
    private static final Random RANDOM = new Random(20261128);

    private static String one(String... of) {
        return of[RANDOM.nextInt(of.length)];
    }

    /** Mostly the first. */
    private static String mostly(String usual, String... rare) {
        return RANDOM.nextInt(8) > 0 ? usual : one(rare);
    }

    private static String blank() {
        return mostly(" ", "  ", "\t", "\n", "\r\n", " /* a \"note\"; */ ", " // one\n", " / two\n", " /\n ", " /* \n/ */ ", "\u00a0");
    }

    private static String gap() {
        return RANDOM.nextInt(4) == 0 ? blank() : "";
    }

    private static String letters(String alphabet, int most) {
        StringBuilder made = new StringBuilder();
        for (int left = RANDOM.nextInt(most + 1); left > 0; left--) {
            made.append(alphabet.charAt(RANDOM.nextInt(alphabet.length())));
        }
        return made.toString();
    }

    private static String value() {
        String quote = one("\"", "\"", "\"", "'");
        String inner = letters("ab1 .;=#'\"$_-/\\\\\\ntrvf0147789\u00e9\u4e2d{}:", 9);
        String escaped = RANDOM.nextInt(3) == 0 ? inner : inner.replace("\\", "\\\\").replace(quote, "\\" + quote);
        switch (RANDOM.nextInt(8)) {
            case 0: return mostly("al.i-c_e$7", letters("abz019._-$", 6));
            case 1: return one("alice", "al-ice", "a.b", "-5", "7", ".5x", "true", "https://host/x", "\u00e9t\u00e9", "\u4e2d");
            case 2: return mostly("\"\"", quote + escaped);
            default: return quote + escaped + quote;
        }
    }

    private static String line() {
        StringBuilder made = new StringBuilder(gap());
        made.append(one("org.apache.kafka.common.security.plain.PlainLoginModule",
            "org.apache.kafka.common.security.scram.ScramLoginModule",
            "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule",
            "com.sun.security.auth.module.Krb5LoginModule",
            mostly("a.B$C_d-e", "\"quoted.Module\"", "7", "")));
        made.append(blank()).append(mostly("required", "REQUIRED", "Requisite", "sufficient", "optional",
            "\"required\"", "needed", "7", ""));
        for (int left = RANDOM.nextInt(4); left > 0; left--) {
            made.append(blank()).append(one("username", "password", "user_alice", "clientId", "\"scope\"", "-x", "5", "tokenauth", "username", "password"));
            made.append(gap()).append(mostly("=", "=", "=", "=", ":", "")).append(gap()).append(value());
        }
        made.append(gap()).append(mostly(";", "", ";;", "; x"));
        return made.append(gap()).toString();
    }

    private static String shown(String text) {
        StringBuilder made = new StringBuilder();
        for (char letter : text.toCharArray()) {
            if (letter > ' ' && letter < 127 && letter != '\\') made.append(letter);
            else made.append(String.format("\\u%04x", (int) letter));
        }
        return made.toString();
    }

    private static String read(String line) {
        try {
            Map<String, ?> config = Map.of("sasl.jaas.config", new Password(line));
            List<AppConfigurationEntry> entries = JaasContext.loadClientContext(config).configurationEntries();
            AppConfigurationEntry entry = entries.get(0);
            List<String> parts = new ArrayList<>();
            parts.add(shown(entry.getLoginModuleName()));
            TreeMap<String, String> options = new TreeMap<>();
            entry.getOptions().forEach((name, value) -> {
                if (name != null) options.put(name, (String) value);
            });
            options.forEach((name, value) -> parts.add(shown(name) + "=" + shown(value)));
            return String.join(" ", parts);
        } catch (Exception refused) {
            return "refused";
        }
    }

    public static void main(String[] arguments) {
        for (int left = 1500; left > 0; left--) {
            String line = line();
            System.out.println(shown(line) + "\t" + read(line));
        }
    }
}
